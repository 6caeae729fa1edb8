"""The Celery application: `celery -A config.celery worker` and `celery -A config.celery beat`."""

import os

from celery import Celery
from celery.signals import beat_init, celeryd_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("vouch")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@celeryd_init.connect
@beat_init.connect
def announce(**_: object) -> None:
    """Say what is out of the ordinary, once for each process that starts."""
    from config import conformance  # it reads the settings

    conformance.announce()
