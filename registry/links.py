"""Links to one frozen file that need no token: signed by us, for who may read it, for some minutes."""

from __future__ import annotations

import datetime
from typing import Any

from django.core import signing

from accounts.actor import Actor
from core.errors import Denied
from lineage.models import ManifestFile
from registry.models import Version

LIFE = datetime.timedelta(minutes=15)
_SALT = "registry.links"


class LinkDead(Denied):
    """This link is not valid, or not any more: ask for a new one."""


def signed(actor: Actor, version: Version, file: ManifestFile) -> str:
    """The secret part of a link to a file of this version, which the actor was found to see."""
    return signing.dumps([actor.workspace_id, version.pk.hex, file.path, file.sha256], salt=_SALT)


def opened(secret: str) -> ManifestFile:
    """The file that a link leads to. Raises LinkDead, also when the version was deleted since."""
    try:
        workspace_id, version, path, sha256 = _told(secret)
    except (signing.BadSignature, TypeError, ValueError):
        raise LinkDead from None
    living = Version.objects.filter(
        pk=version, deleted_at__isnull=True, model__deleted_at__isnull=True, model__workspace_id=workspace_id
    )
    files = ManifestFile.objects.filter(manifest_id__in=living.values("manifest_id"), path=path, sha256=sha256)
    file = files.first()
    if file is None:
        raise LinkDead
    return file


def _told(secret: str) -> list[Any]:
    told: list[Any] = signing.loads(secret, salt=_SALT, max_age=LIFE)
    return told
