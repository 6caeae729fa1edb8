"""Builds states through the services, as their users would."""

from __future__ import annotations

import uuid
from functools import cache

from django.contrib.auth.hashers import Argon2PasswordHasher
from django.test import override_settings

from accounts.actor import Actor
from accounts.models import User, UserKind, Workspace
from accounts.queries import session_actor, system_actor
from accounts.roles import Role, Scope
from accounts.services import people, tokens
from lineage.services import artifacts
from lineage.services.artifacts import Place
from registry.models import Model, Promotion, Version
from registry.outlook import Outlook, outlook
from registry.services import catalog, promotions
from registry.services.catalog import Origin

PASSWORD = "a long enough password"


class RememberedArgon2(Argon2PasswordHasher):
    """The hash of production, made once: a tenth of a second for each of ten thousand users is a quarter of an hour."""

    def salt(self) -> str:
        return "the same for each test"

    def encode(self, password: str, salt: str) -> str:
        return _hashed(password, salt)


@cache
def _hashed(password: str, salt: str) -> str:
    return Argon2PasswordHasher().encode(password, salt)


def workspace(slug: str = "default") -> Workspace:
    if slug == "default":
        return people.default_workspace()
    return Workspace.objects.get_or_create(slug=slug, defaults={"name": slug})[0]


def actor(username: str, *roles: Role, slug: str = "default", kind: UserKind = UserKind.PERSON) -> Actor:
    """A user of this name with these roles in the workspace, acting by a session."""
    home = workspace(slug)
    operator = system_actor(home)
    user = User.objects.filter(username=username).first()
    if user is None:
        with override_settings(PASSWORD_HASHERS=["tests.make.RememberedArgon2"]):
            user = people.create_user(
                operator, username=username, kind=kind, password=PASSWORD if kind == UserKind.PERSON else None
            )
    for role in roles:
        people.give(operator, role, user=user)
    return session_actor(user, home)


def token(owner: Actor, *scopes: Scope, days: int = 90, model_glob: str = "") -> str:
    """A plain token of the owner's, with every scope when none is named."""
    issued = tokens.create(owner, name="test", scopes=scopes or tuple(Scope), days=days, model_glob=model_glob)
    return issued.plain


def by_token(owner: Actor, *scopes: Scope, model_glob: str = "") -> Actor:
    """The owner, acting by a new token."""
    plain = token(owner, *scopes, model_glob=model_glob)
    return tokens.authenticate(plain, address=None, request_id="")


def model(owner: Actor, name: str = "churn") -> Model:
    return catalog.create_model(owner, name=name)


def version(owner: Actor, name: str = "churn", content: bytes | None = None, **more: object) -> Version:
    """The next version of the model, from an upload of one file; its content is unlike any other by default."""
    upload = uuid.uuid4().hex
    place = Place(upload_name=upload)
    artifacts.upload(owner, place, "model.bin", [content if content is not None else upload.encode()])
    origin = Origin(source=f"upload:{upload}", place=place)
    return catalog.register_version(owner, name, origin, files_required=True, **more).version  # type: ignore[arg-type]


def outlook_of(promotion: Promotion) -> Outlook:
    """Where a promotion stands, read anew."""
    return outlook(Promotion.objects.select_related("model", "version__manifest").get(pk=promotion.pk))


def evidence(promotion: Promotion) -> str:
    return outlook_of(promotion).evidence.digest


def in_production(requester: Actor, reviewer: Actor, candidate: Version) -> Promotion:
    """The version, moved to Production by a request and an approval."""
    promotion = promotions.request(requester, candidate.model.name, candidate.number, "Production")
    return promotions.approve(reviewer, promotion.pk, evidence=evidence(promotion))
