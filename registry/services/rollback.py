"""Rolling back: an earlier occupant of a stage, or an earlier version of an alias, is put there again by one person."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.actor import Actor
from accounts.models import AuditEntry
from accounts.permissions import require
from accounts.roles import Action
from core.canonical import digest
from lineage.models import Manifest
from lineage.queries import listed_digest
from lineage.services import manifests
from registry import earlier
from registry.earlier import Earlier
from registry.errors import (
    AlreadyThere,
    BytesDiffer,
    CannotServe,
    MovedMeanwhile,
    NeverThere,
    NothingBefore,
    NothingToCompare,
    NotVouchedFor,
    SeveralAtOnce,
    VersionNotFound,
)
from registry.models import Model, Promotion, Version
from registry.models.catalog import VersionStatus
from registry.outlook import outlook
from registry.policy import ALIAS_MARK
from registry.queries import find_model
from registry.references import target_named, version_number
from registry.ruling import Ruling, ruling
from registry.services.carrying import adopt, carry_out
from registry.services.closing import supersede
from registry.services.locks import locked_model, ruled, version_of
from registry.services.promotions import holds, reason_given


@dataclass(frozen=True)
class Reread:
    """What of the store was read before anything was locked: the version, and the files that it had then."""

    version_id: uuid.UUID
    manifest_id: uuid.UUID | None  # None: its bytes lie elsewhere


def roll_back(actor: Actor, name: object, target: object, *, reason: str, to: object = None) -> Promotion:
    """Put an earlier version into a stage, or under an alias, again; it is reviewed afterwards.

    `to` is its number; by default what was there last, before what is there now. The bytes kept must be those of then,
    which is why they are all read again first, with nothing locked; not to be called inside a transaction. Gates are
    not asked and nobody has to approve, even where the policy forbids a bypass: it was approved before.

    Raises NothingBefore, SeveralAtOnce, AlreadyThere, NeverThere, CannotServe, NothingToCompare, BytesDiffer,
    MovedMeanwhile, ReasonMissing.
    """
    return roll_back_to(actor, name, target, reread(actor, name, target, to=to), reason=reason, to=to)


def reread(actor: Actor, name: object, target: object, *, to: object = None) -> Reread:
    """Find what `roll_back` would put there and read its files again; raises as it does."""
    model = find_model(actor, name)
    require(actor, Action.ROLL_BACK, model)
    found = _wanted(model, target, to)
    manifest = found.version.manifest
    if manifest:
        manifests.verify(manifest)
        _refuse_other_bytes(model, found, manifest, listed=listed_digest(manifest))
    return Reread(found.version.pk, found.version.manifest_id)


@transaction.atomic
def roll_back_to(
    actor: Actor, name: object, target: object, seen: Reread, *, reason: str, to: object = None
) -> Promotion:
    """The rest of `roll_back`: carried out if what was `seen` is still what is asked for."""
    model = locked_model(actor, name)
    require(actor, Action.ROLL_BACK, model)
    found = _wanted(model, target, to)
    if (found.version.pk, found.version.manifest_id) != (seen.version_id, seen.manifest_id):
        raise MovedMeanwhile(target=found.target, name=model.name, version=found.version.number)
    if found.version.manifest:
        _refuse_other_bytes(model, found, found.version.manifest)
    reason = reason_given("reason", reason)
    version = version_of(model, found.version.number)
    same = Promotion.objects.open().filter(version=version, target=found.target)
    supersede(actor, model, same, why=f"{actor.username} rolled back to it")
    promotion = _opened(actor, version, ruled(model, found.target))
    restored = {"restores": str(found.promotion.pk)} if found.promotion else {}
    look = outlook(promotion)
    carry_out(actor, promotion, look, rollback=True, reason=reason, more=restored)
    _keep_word(promotion, found.promotion)
    return promotion


def _wanted(model: Model, target: object, to: object) -> Earlier:
    """The version to put there, which may be put there as far as the tables tell."""
    wanted = target_named(target)
    now = ruling(model, wanted)
    if not now.terms.exclusive and not wanted.startswith(ALIAS_MARK):
        raise SeveralAtOnce(target=wanted, name=model.name)
    found = _named(model, wanted, to) if to is not None else earlier.last_before(model, wanted)
    if found is None:
        raise NothingBefore(target=wanted, name=model.name)
    version = found.version
    about: dict[str, Any] = {"name": model.name, "version": version.number, "target": wanted}
    if found.promotion is None and not now.free:
        raise NeverThere(**about, instead=_instead(model, found))
    if version.deleted_at:
        raise CannotServe(**about, why="as it was deleted", instead=_instead(model, found))
    if holds(Version.objects.with_stage().get(pk=version.pk), wanted):
        raise AlreadyThere(**about)
    if version.status != VersionStatus.READY:
        raise CannotServe(**about, why=f"as it is {version.status}", instead=_instead(model, found))
    if found.promotion and (why := _not_vouched_for(found.promotion, now)):
        raise NotVouchedFor(**about, why=why, instead=_instead(model, found))
    if version.manifest is None and found.promotion:
        raise NothingToCompare(**about, instead=_instead(model, found))
    return found


def _not_vouched_for(promotion: Promotion, now: Ruling) -> str:
    """In words, why the word on which the version was there does not do for a rollback; empty when it does.

    Where people have to approve, somebody must have vouched for it: a reviewer, or an administrator who went past the
    policy and was not contradicted afterwards.
    """
    word = earlier.words([promotion]).get(promotion.pk)
    origin = word.promotion if word else promotion
    if origin.review_agrees is False:
        return "whoever looked at it afterwards did not agree"
    if now.terms.asks_people and not origin.bypass and not (word and word.approved_by):
        return "nobody had to approve it then"
    return ""


def _named(model: Model, target: str, to: object) -> Earlier:
    number = version_number(to, field="to")
    found = earlier.of_number(model, target, number)
    if found:
        return found
    version = Version.objects.with_stage().filter(model=model, number=number, deleted_at__isnull=True).first()
    if version is None:
        raise VersionNotFound(name=model.name, version=number)
    if holds(version, target):
        raise AlreadyThere(name=model.name, version=number, target=target)
    others = _or_to([other.version.number for other in earlier.offered(model, [target])[target]])
    raise NeverThere(name=model.name, version=number, target=target, instead=others)


def _instead(model: Model, found: Earlier) -> str:
    """What else could be rolled back to, as the end of a refusal."""
    others = earlier.offered(model, [found.target])[found.target]
    return _or_to([other.version.number for other in others if other.version.pk != found.version.pk])


def _or_to(numbers: list[int]) -> str:
    return f", or roll back to {', '.join(str(number) for number in numbers)}" if numbers else ""


def _refuse_other_bytes(model: Model, found: Earlier, manifest: Manifest, *, listed: str = "") -> None:
    """Raise BytesDiffer when the files are not those that were put there, as far as the tables tell.

    `listed` is the digest of the list of its files, where it was made again.
    """
    difference = manifest.damage
    if not difference and listed and listed != manifest.digest:
        difference = "the list of its files was altered"
    if not difference and found.promotion:
        difference = _other_than_decided(found.promotion, found.version, manifest.digest)
    if difference:
        then = f"on {found.promotion.decided_at:%Y-%m-%d}" if found.promotion else "then"
        raise BytesDiffer(
            name=model.name,
            version=found.version.number,
            target=found.target,
            then=then,
            difference=difference,
            instead=_instead(model, found),
        )


def _other_than_decided(promotion: Promotion, version: Version, now: str) -> str:
    """In words, how the version differs from what was decided on; empty when it does not.

    What was decided on is in the promotion's row and, where nobody alters it, in the log.
    """
    decided = promotion.decided_on or {}
    logged = AuditEntry.objects.filter(hash=promotion.entry_hash, chain__subject_id=promotion.model_id).first()
    # Evidence that was decided on before it was kept whole cannot be digested again: the log has its manifest.
    whole = "policy" in decided
    if (
        logged is None
        or (decided.get("manifest"), promotion.decided_evidence)
        != (logged.data.get("manifest"), logged.data.get("evidence"))
        or (whole and digest(decided) != promotion.decided_evidence)
    ):
        return "what the promotion says was decided on is not what the log says"
    if decided["manifest"] != now:
        return f"its files were {str(decided['manifest'])[:12]} then and are {now[:12]} now"
    if decided["source"] != version.lies_at:
        return "its source was another one then"
    return ""


def _opened(actor: Actor, version: Version, now: Ruling) -> Promotion:
    """The promotion that puts the version there, about to be carried out."""
    promotion = Promotion(
        model=version.model,
        version=version,
        target=now.target,
        from_stage=version.stage,
        requester_id=actor.user_id,
        requester_token=actor.token_id,
        expires_at=timezone.now() + now.terms.lifetime,
    )
    adopt(promotion, now)
    promotion.save(force_insert=True)
    promotion.askers.add(actor.user_id)
    return promotion


def _keep_word(promotion: Promotion, restored: Promotion | None) -> None:
    """The word for the version is still that of then, and holds no longer for its having been away."""
    if restored is None:
        return
    promotion.valid_from = given = restored.valid_from or restored.decided_at
    lifetime = promotion.terms.approval_lifetime
    if lifetime and given:
        promotion.valid_until = min(given + lifetime, restored.valid_until or given + lifetime)
    promotion.save(update_fields=["valid_from", "valid_until"])
