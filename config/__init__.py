"""Wiring: settings, the map of all doors, the Celery application and the bundled services."""

from config.celery import app as celery_app

__all__ = ["celery_app"]
