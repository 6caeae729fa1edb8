"""Light or dark, as the person's browser has it or as he chose: a cookie of the browser, since a screen has its own."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from accounts.actor import Actor
from web.ui.desk import PageRequest, next_page, signed_in

COOKIE = "appearance"
CHOICES = {"": "As my system", "light": "Light", "dark": "Dark"}
_KEPT = 365 * 86_400  # seconds


@require_POST
@signed_in
def appearance(request: PageRequest, actor: Actor) -> HttpResponse:
    """Remember the choice and go back to the page; anything else than a choice forgets it."""
    response = redirect(next_page(request))
    chosen = request.POST.get("appearance", "")
    if chosen and chosen in CHOICES:
        response.set_cookie(COOKIE, chosen, max_age=_KEPT, secure=request.is_secure(), httponly=True, samesite="Lax")
    else:
        response.delete_cookie(COOKIE, samesite="Lax")
    return response


def chosen(request: HttpRequest | None) -> str:
    """`light`, `dark`, or nothing: as the system has it."""
    found = request.COOKIES.get(COOKIE, "") if request else ""
    return found if found in CHOICES else ""
