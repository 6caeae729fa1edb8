"""What an evidence pack tells of a version, as JSON values, in a constant number of queries."""

from __future__ import annotations

import datetime
import uuid
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import F, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Concat, JSONObject

from accounts.models import AuditChain, AuditCheckpoint, AuditEntry, AuditWitness
from accounts.verbs import Verb
from lineage.provenance import Provenance, recorded
from registry.models import Approval, Check, Comment, Promotion, Revalidation, Version, VersionTag

_AT_ONCE = 1000
# What happens to a model as a whole and so to each of its versions.
_OF_ALL_VERSIONS = (Verb.MODEL_CREATED, Verb.MODEL_DELETED)


@dataclass(frozen=True)
class Contents:
    """Everything of one version but its files and its audit entries, which may be many."""

    version: Version
    tags: list[tuple[str, str]]  # by their keys
    promotions: list[dict[str, Any]]  # in the order in which they were asked for
    policies: list[dict[str, Any]]
    checks: list[dict[str, Any]]
    comments: list[dict[str, Any]]
    intervals: list[dict[str, Any]]
    run: Provenance | None
    chain: AuditChain | None
    witness: AuditWitness | None  # how far checkpoints follow the chain
    concerned: list[str]  # the promotions by which it was moved, its own and others'

    @property
    def about(self) -> dict[str, Any]:
        """The version itself."""
        version = self.version
        return {
            "model": version.model.name,
            "model_id": str(version.model_id),
            "version": version.number,
            "registered_by": version.registrar.username,
            "registered_at": time(version.created_at),
            "description": version.description,
            "source": version.source,
            "tags": dict(self.tags),
            "deleted_at": time(version.deleted_at),
            "intervals": self.intervals,
            "comments": self.comments,
        }

    @property
    def lineage(self) -> dict[str, Any]:
        """Where it comes from: the run as its registrar named it, and what is known of that."""
        run, version = self.run, self.version
        known = run and {
            "id": run.run_id.hex,
            "name": run.name,
            "experiment": run.experiment,
            "user": run.user_name,
            "status": run.status,
            "started_ms": run.started_ms,
            "ended_ms": run.ended_ms,
            "deleted": run.deleted,
            "commit": run.commit,
            "params": run.params,
            # As text, which keeps what JSON has no number for: NaN and the infinities.
            "metrics": {key: repr(value) for key, value in run.metrics.items()},
            "tags": run.tags,
            "datasets": [
                {"name": d.name, "digest": d.digest, "source_type": d.source_type, "context": d.context}
                for d in run.datasets
            ],
        }
        return {"source": version.source, "run_id": version.run_ref, "run_link": version.run_link, "run": known}

    @property
    def place(self) -> dict[str, Any]:
        """Where the entries stand: their chain, its head, and the entry up to which signed checkpoints confirm it."""
        chain, witness = self.chain, self.witness
        return {
            "chain": str(self.version.model_id),
            "head": chain and {"sequence": chain.last_sequence, "hash": chain.last_hash},
            "confirmed": witness and {"sequence": witness.sequence, "hash": witness.hash},
        }


def newest_checkpoint() -> dict[str, Any] | None:
    """The newest checkpoint: a head that is witnessed stands in it, or in an earlier one."""
    newest = AuditCheckpoint.objects.order_by("-number").first()
    if newest is None:
        return None
    return {
        "number": newest.number,
        "digest": newest.digest,
        "at": time(newest.at),
        "public_key": newest.public_key,
    }


def with_tags(versions: QuerySet[Version]) -> QuerySet[Version]:
    """`versions`, each with its tags, as `contents` takes them."""
    tags = VersionTag.objects.filter(version=OuterRef("pk"))
    pair = JSONObject(key=F("key"), value=F("value"))
    return versions.annotate(tags_told=ArraySubquery(tags.values_list(pair)))


def contents(version: Version) -> Contents:
    """What there is about `version`, from `with_tags` with its model, manifest and registrar. At most nine queries."""
    related = "requester", "decided_by", "reviewed_by", "policy_revision__changed_by", "policy_revision__policy__model"
    tags: list[tuple[str, str]] = [(tag["key"], tag["value"]) for tag in getattr(version, "tags_told", ())]
    # The verdicts that a decision was made on are in its entry.
    said = AuditEntry.objects.filter(hash=OuterRef("entry_hash")).exclude(hash="").values("data__gates")
    own = list(version.promotions.select_related(*related).annotate(said=said[:1]).order_by("requested_at", "pk"))
    held = _held(version)
    given, renewed = _approvals(own), _revalidations(own)
    comments = Comment.objects.filter(version=version, deleted_at__isnull=True).select_related("author").order_by("pk")
    chain = AuditChain.objects.filter(subject_id=version.model_id).select_related("witness").first()
    return Contents(
        version=version,
        tags=sorted(tags),
        promotions=[_promotion(each, given[each.pk], renewed[each.pk], _gates(each)) for each in own],
        policies=[_policy(each) for each in own],
        checks=[
            _check(check) for check in Check.objects.filter(version=version).select_related("reporter").order_by("pk")
        ],
        comments=[
            {
                "author": comment.author.username,
                "at": time(comment.created_at),
                "edited_at": time(comment.edited_at),
                "promotion": str(comment.promotion_id) if comment.promotion_id else None,
                "text": comment.text,
            }
            for comment in comments
        ],
        intervals=held,
        run=recorded([version.run_id]).get(version.run_id) if version.run_id else None,
        chain=chain,
        witness=getattr(chain, "witness", None),
        concerned=sorted({str(each.pk) for each in own} | {each["promotion"] for each in held if each["promotion"]}),
    )


def entries(told: Contents) -> Iterator[AuditEntry]:
    """The entries of the model's chain that concern the version or what moved it, in their order and a page at a time,
    up to the head that `told` names."""
    if told.chain is None:
        return
    concerned = (
        Q(data__version=told.version.number) | Q(data__promotion__in=told.concerned) | Q(verb__in=_OF_ALL_VERSIONS)
    )
    rows = told.chain.entries.filter(concerned, sequence__lte=told.chain.last_sequence).order_by("sequence")
    reached = 0
    while page := list(rows.filter(sequence__gt=reached)[:_AT_ONCE]):
        for entry in page:
            entry.chain = told.chain
            yield entry
        reached = page[-1].sequence


def time(moment: datetime.datetime | None) -> str | None:
    """In UTC, RFC 3339, to the microsecond."""
    if moment is None:
        return None
    return moment.astimezone(datetime.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _approvals(own: list[Promotion]) -> dict[uuid.UUID, list[Approval]]:
    given: dict[uuid.UUID, list[Approval]] = defaultdict(list)
    for approval in Approval.objects.filter(promotion__in=own).select_related("reviewer").order_by("at", "pk"):
        given[approval.promotion_id].append(approval)
    return given


def _revalidations(own: list[Promotion]) -> dict[uuid.UUID, list[Revalidation]]:
    given: dict[uuid.UUID, list[Revalidation]] = defaultdict(list)
    lasting = [each for each in own if each.valid_until]  # the others hold for ever
    for word in Revalidation.objects.filter(promotion__in=lasting).select_related("reviewer").order_by("at", "pk"):
        given[word.promotion_id].append(word)
    return given


def _gates(promotion: Promotion) -> list[dict[str, Any]] | None:
    """The verdicts that the decision was made on; None when there is no entry of it."""
    if not promotion.entry_hash:
        return None
    said: list[dict[str, Any]] = getattr(promotion, "said", None) or []
    return said


def _promotion(
    promotion: Promotion, given: list[Approval], renewed: list[Revalidation], gates: list[dict[str, Any]] | None
) -> dict[str, Any]:
    return {
        "id": str(promotion.pk),
        "target": promotion.target,
        "from_stage": promotion.from_stage,
        "state": promotion.state,
        "requested_by": promotion.requester.username,
        "requested_at": time(promotion.requested_at),
        "comment": promotion.comment,
        "round": promotion.round,
        "decided_by": promotion.decided_by.username if promotion.decided_by else None,
        "decided_at": time(promotion.decided_at),
        "reason": promotion.reason,
        "bypass": promotion.bypass,
        "rollback": promotion.rollback,
        "evidence": promotion.decided_evidence or None,
        "decided_on": promotion.decided_on,
        "entry_hash": promotion.entry_hash or None,
        "terms": promotion.policy,
        "gates": gates,
        "approvals": [
            {
                "reviewer": approval.reviewer.username,
                "at": time(approval.at),
                "comment": approval.comment,
                "evidence": approval.evidence,
                "looked_at": approval.looked_at,
                "counted": approval.counted,
            }
            for approval in given
        ],
        "valid_until": time(promotion.valid_until),
        "revalidations": [
            {"reviewer": word.reviewer.username, "at": time(word.at), "comment": word.comment} for word in renewed
        ],
        "reviewed_afterwards": promotion.reviewed_by
        and {
            "by": promotion.reviewed_by.username,
            "at": time(promotion.reviewed_at),
            "agrees": promotion.review_agrees,
            "note": promotion.review_note,
        },
    }


def _policy(promotion: Promotion) -> dict[str, Any]:
    """The policy that the promotion was held to; without a revision it is one that Vouch comes with."""
    revision = promotion.policy_revision
    return {
        "promotion": str(promotion.pk),
        "terms": promotion.policy,
        "revision": revision
        and {
            "policy": str(revision.policy_id),
            "name": str(revision.policy),
            "number": revision.number,
            "rules": revision.rules,
            "changed_by": revision.changed_by.username,
            "changed_at": time(revision.changed_at),
            "comment": revision.comment,
        },
    }


def _check(check: Check) -> dict[str, Any]:
    return {
        "name": check.name,
        "state": check.state,
        "summary": check.summary,
        "link": check.link,
        "values": check.values,
        "reported_by": check.reporter.username,
        "at": time(check.at),
    }


def _held(version: Version) -> list[dict[str, Any]]:
    """The stages that it held and then the aliases that pointed at it, each in the order of time. One query."""
    columns = ("kind", "target", "started_at", "ended_at", "promotion_id", "pk")
    stages = version.occupancies.annotate(kind=Value(0), target=F("stage")).values_list(*columns)
    aliases = version.pointings.annotate(kind=Value(1), target=Concat(Value("@"), "alias")).values_list(*columns)
    return [
        {
            "target": target,
            "from": time(started_at),
            "until": time(ended_at),
            "promotion": str(promotion) if promotion else None,
        }
        for _, target, started_at, ended_at, promotion, _ in stages.union(aliases, all=True).order_by(
            "kind", "started_at", "pk"
        )
    ]
