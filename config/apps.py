"""Django's description of the admin, with our site in the place of its own."""

from django.contrib.admin.apps import AdminConfig


class OperatorsConfig(AdminConfig):
    default_site = "config.admin.Site"
