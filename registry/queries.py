"""Reads of the registry that are shaped by their use; each takes the actor and finds only what he may see."""

from __future__ import annotations

import datetime
import uuid

from django.db.models import Expression, OuterRef, Prefetch, QuerySet, Subquery

from accounts.actor import Actor
from accounts.models import AuditChain, AuditEntry, User
from accounts.permissions import require
from accounts.roles import Action, Scope
from accounts.verbs import Verb
from core import text
from core.ids import first_at
from lineage.models import ManifestFile
from registry.errors import (
    AliasNotFound,
    CommentNotFound,
    DeliveryNotFound,
    ModelNotFound,
    NoPolicy,
    PromotionNotFound,
    UnknownVerb,
    VersionNotFound,
    WebhookNotFound,
)
from registry.models import (
    Alias,
    Attempt,
    Check,
    Comment,
    Delivery,
    Following,
    Model,
    Occupancy,
    Policy,
    PolicyRevision,
    Promotion,
    ReviewRequest,
    Version,
    Webhook,
)
from registry.models.policies import PolicyQuerySet
from registry.models.webhooks import DeliveryState
from registry.references import version_number


def models(actor: Actor) -> QuerySet[Model]:
    """Models that the actor can see, each with its creator, tags and aliases. Three queries."""
    aliases = Alias.objects.select_related("version", "promotion").order_by("name")
    rows = Model.objects.visible_to(actor).select_related("created_by")
    return rows.prefetch_related("tags", Prefetch("aliases", aliases))


def find_model(actor: Actor, name: object) -> Model:
    """The model with its tags and aliases; ModelNotFound. Three queries."""
    model = models(actor).filter(name=text.searchable(name)).first()
    if model is None:
        raise ModelNotFound(name=name)
    return model


def find_model_by_id(actor: Actor, model_id: uuid.UUID) -> Model:
    """The model with this id; ModelNotFound. One query."""
    model = Model.objects.visible_to(actor).filter(pk=model_id).first()
    if model is None:
        raise ModelNotFound(name=str(model_id))
    return model


def following_of(actor: Actor, model_id: uuid.UUID) -> Following | None:
    """Whether the actor follows a model that he can see, or has muted it. One query."""
    return Following.objects.filter(model=model_id, user=actor.user_id).first()


def versions(actor: Actor) -> QuerySet[Version]:
    """Living versions that the actor can see, each with its stage, model, manifest, run, tags and aliases."""
    return (
        Version.objects.visible_to(actor)
        .with_stage()
        .with_word()
        .select_related("model", "manifest", "registrar")
        .prefetch_related("tags", "aliases")
    )


def find_version(actor: Actor, name: object, number: object) -> Version:
    """One version; ModelNotFound or VersionNotFound."""
    wanted = version_number(number)
    version = versions(actor).filter(model__name=text.searchable(name), number=wanted).first()
    if version is None:
        find_model(actor, name)
        raise VersionNotFound(name=name, version=number)
    return version


def version_at_alias(actor: Actor, name: object, alias: str) -> Version:
    """The version that an alias points at; ModelNotFound or AliasNotFound."""
    version = versions(actor).filter(model__name=text.searchable(name), aliases__name=text.searchable(alias)).first()
    if version is None:
        find_model(actor, name)
        raise AliasNotFound(name=name, alias=alias)
    return version


def promotions(actor: Actor) -> QuerySet[Promotion]:
    """Promotions that the actor can see, with what a list shows of each."""
    return Promotion.objects.visible_to(actor).select_related(
        "model", "version", "requester", "decided_by", "reviewed_by"
    )


def find_promotion(actor: Actor, promotion_id: uuid.UUID, **more: Expression) -> Promotion:
    """One promotion, with what `more` adds to it by name; PromotionNotFound."""
    promotion = (
        promotions(actor)
        .annotate(**more)
        .select_related("version__manifest", "version__registrar", "policy_revision")
        .filter(pk=promotion_id)
        .first()
    )
    if promotion is None:
        raise PromotionNotFound(promotion=promotion_id)
    return promotion


def policies(actor: Actor) -> QuerySet[Policy]:
    """The policies that the actor can see, each with its model and who wrote its newest revision (`changed_by`)."""
    return _policies(actor).living()


def find_policy(actor: Actor, policy_id: uuid.UUID) -> Policy:
    """One policy, a retired one too; NoPolicy."""
    policy = _policies(actor).filter(pk=policy_id).first()
    if policy is None:
        raise NoPolicy(policy=policy_id)
    return policy


def _policies(actor: Actor) -> PolicyQuerySet:
    newest = PolicyRevision.objects.filter(policy=OuterRef("pk"), number=OuterRef("revision"))
    rows = Policy.objects.visible_to(actor).select_related("model")
    return rows.annotate(
        changed_by=Subquery(newest.values("changed_by__username")), comment=Subquery(newest.values("comment"))
    )


def policy_revisions(policy: Policy) -> QuerySet[PolicyRevision]:
    """What a policy said from one edit to the next."""
    return policy.revisions.select_related("changed_by")


def occupancies(version: Version) -> QuerySet[Occupancy]:
    """The stages that a version held and holds, each with the promotion that moved it in."""
    return version.occupancies.select_related("promotion__decided_by")


def files_of(version: Version) -> QuerySet[ManifestFile]:
    """The files of a version; none when its bytes lie elsewhere."""
    return ManifestFile.objects.filter(manifest=version.manifest) if version.manifest else ManifestFile.objects.none()


def checks(version: Version) -> QuerySet[Check]:
    """The newest report of each check on a version: at most as many as a version can have, which is a hundred."""
    newest = Check.objects.filter(version=version).order_by("name", "-id").distinct("name").values("pk")
    return Check.objects.filter(pk__in=newest).select_related("version__model", "reporter")


def check_history(version: Version, name: str) -> QuerySet[Check]:
    """Every report of one check on a version."""
    return version.checks.filter(name=text.searchable(name)).select_related("version__model", "reporter")


def comments(actor: Actor) -> QuerySet[Comment]:
    """Comments that the actor can see, deleted ones too, each with its author and whom it mentions. Two queries."""
    seen = Comment.objects.filter(version__model__in=Model.objects.visible_to(actor))
    return seen.select_related("version__model", "author").prefetch_related("mentions")


def find_comment(actor: Actor, comment_id: uuid.UUID) -> Comment:
    """One comment; CommentNotFound."""
    comment = comments(actor).filter(pk=comment_id).first()
    if comment is None:
        raise CommentNotFound(comment=comment_id)
    return comment


def review_requests(promotion: Promotion) -> QuerySet[ReviewRequest]:
    """Who was asked to review a promotion, by whom, the first first."""
    return promotion.review_requests.select_related("reviewer", "asked_by").order_by("at", "pk")


def generation_of(model_id: uuid.UUID) -> int | None:
    """The generation of a living model, None when it is gone: what waits for a change looks at this."""
    return Model.objects.living().filter(pk=model_id).values_list("generation", flat=True).first()


def state_of(promotion_id: uuid.UUID) -> str | None:
    """The state of a promotion, None when it is gone."""
    return Promotion.objects.filter(pk=promotion_id).values_list("state", flat=True).first()


def webhooks(actor: Actor) -> QuerySet[Webhook]:
    """The webhooks that the actor may manage, each with its model and who is told when it fails."""
    return Webhook.objects.living().visible_to(actor).select_related("model", "owner")


def find_webhook(actor: Actor, webhook_id: uuid.UUID) -> Webhook:
    """One that the actor may manage, a deleted one too; WebhookNotFound."""
    webhook = Webhook.objects.visible_to(actor).select_related("model", "owner").filter(pk=webhook_id).first()
    if webhook is None:
        raise WebhookNotFound(webhook=webhook_id)
    return webhook


def deliveries(
    webhook: Webhook,
    *,
    model_name: str = "",
    since: datetime.datetime | None = None,
    until: datetime.datetime | None = None,
) -> QuerySet[Delivery]:
    """What a webhook was or is owed since and before such times, each with its event.

    Narrowed to what happened to models of this name, also to one that is gone.
    """
    rows = Delivery.objects.filter(webhook=webhook).select_related("entry")
    if model_name:
        named = Model.objects.filter(workspace_id=webhook.workspace_id, name=text.searchable(model_name)).values("pk")
        # Looked up first: an index gives the entries of a chain, and another the delivery of each.
        chains = list(AuditChain.objects.filter(subject_id__in=named).values_list("pk", flat=True))
        rows = rows.filter(entry__chain__in=chains)
    # Ids are in the order of time, and the indexes end with them.
    if since:
        rows = rows.filter(pk__gte=first_at(since))
    return rows.filter(pk__lt=first_at(until)) if until else rows


def find_delivery(webhook: Webhook, delivery_id: uuid.UUID) -> Delivery:
    """One delivery to a webhook; DeliveryNotFound."""
    delivery = deliveries(webhook).filter(pk=delivery_id).first()
    if delivery is None:
        raise DeliveryNotFound(delivery=delivery_id)
    return delivery


def attempts(delivery: Delivery) -> QuerySet[Attempt]:
    """Every send of a delivery, the newest first."""
    return Attempt.objects.filter(delivery=delivery).order_by("-number")


def is_under_way(delivery_id: uuid.UUID) -> bool:
    """Whether a delivery still waits to be sent."""
    return Delivery.objects.filter(pk=delivery_id, state=DeliveryState.PENDING).exists()


def audit_trail(
    actor: Actor,
    model_name: str = "",
    *,
    verb: str = "",
    by: str = "",
    since: datetime.datetime | None = None,
    until: datetime.datetime | None = None,
) -> QuerySet[AuditEntry]:
    """The entries of a model, or of the whole workspace; for those who may not read all, what they did themselves.

    Narrowed to a verb, to what the user named `by` did, and to the time from `since` to before `until`. Always to the
    actor's workspace: the chain of what belongs to no model is shared by all. Raises ModelNotFound, UnknownVerb, Denied
    for a token that is bound to models or may not read.
    """
    if verb and verb not in list(Verb):
        raise UnknownVerb(value=verb)
    model = find_model(actor, model_name) if model_name else None
    if model is None and (actor.model_glob or Scope.READ not in actor.scopes):
        require(actor, Action.READ_AUDIT)
    entries = AuditEntry.objects.filter(workspace_id=actor.workspace_id)
    # Ids are looked up first: with a join PostgreSQL does not see that an index gives the order, too.
    if model:
        entries = entries.filter(chain_id=AuditChain.objects.values_list("id").get(subject_id=model.id)[0])
    if not actor.may(Action.READ_AUDIT, model.id if model else None):
        entries = entries.filter(actor_id=actor.user_id)
    if verb:
        entries = entries.filter(verb=verb)
    if by:
        entries = entries.filter(actor_id=User.objects.named(by).values_list("id", flat=True).first() or 0)
    if since:
        entries = entries.filter(at__gte=since)
    return entries.filter(at__lt=until) if until else entries


def frozen_files(actor: Actor, version_id: uuid.UUID) -> QuerySet[ManifestFile]:
    """The files that a version the actor can see was frozen with; none when there is no such version."""
    manifest = Version.objects.visible_to(actor).filter(pk=version_id).values("manifest_id")
    return ManifestFile.objects.filter(manifest_id__in=manifest).order_by("path")
