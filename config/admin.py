"""Django's admin for operators: one signs in at the pages, as everywhere; passwords are changed through a service."""

from __future__ import annotations

from typing import Any, NoReturn

from django.contrib import admin
from django.contrib.auth.models import Group
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode

from accounts.models import User, UserKind


class Site(admin.AdminSite):
    """The admin, for people who administer every workspace."""

    site_header = site_title = "Vouch, for operators"
    index_title = "What there is"
    enable_nav_sidebar = False

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """All but Django's groups, which nothing here reads: what somebody may do is said by grants."""
        if model_or_iterable not in (Group, (Group,)):
            super().register(model_or_iterable, admin_class, **options)

    def has_permission(self, request: HttpRequest) -> bool:
        user = request.user
        return isinstance(user, User) and user.is_active and user.is_superuser and user.kind == UserKind.PERSON

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """To the sign-in page, which throttles and records; somebody else's session finds nothing here."""
        if request.user.is_authenticated:
            raise Http404
        return redirect(f"{reverse('sign-in')}?{urlencode({'next': reverse('admin:index')})}")

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> NoReturn:
        """Not here: a user's page in the admin has a field for a new password, and that change is recorded."""
        raise Http404
