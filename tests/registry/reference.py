"""The workflow once more, as small as it can be: what the state machine holds the services against.

It knows no database, no lock and no door: people, versions, promotions, votes, and the rules of DESIGN in plain words.
A refusal is the name of the class that the services raise.
"""

from __future__ import annotations

from dataclasses import dataclass, field

ROLES = {
    "one": "contributor",
    "two": "contributor",
    "red": "reviewer",
    "blue": "reviewer",
    "bot": "reviewer",
    "keeper": "maintainer",
    "chief": "administrator",
}
RESPONSIBLE = {"bot": "red"}  # a service account counts as the person who answers for it
EXCLUSIVE = "Production"
CHECK = "tests"


class Refused(Exception):
    """The reference says no, for the reason that the services give by the class of their refusal."""


@dataclass(frozen=True)
class Rules:
    revision: int
    approvals: int
    check: bool
    bypass: bool

    def asks_more_than(self, other: Rules) -> bool:
        return (
            self.approvals > other.approvals or (self.check and not other.check) or (other.bypass and not self.bypass)
        )


@dataclass
class Version:
    number: int
    registrar: str
    stage: str = "None"
    deleted: bool = False
    check: str = ""


@dataclass
class Promotion:
    version: Version
    target: str
    requester: str
    rules: Rules
    state: str = "open"
    round: int = 1
    askers: set[str] = field(default_factory=set)
    votes: set[tuple[str, object]] = field(default_factory=set)
    bypass: bool = False
    settled: int = 0  # the sweep takes them in the order in which they were looked at last


class Reference:
    def __init__(self) -> None:
        self.versions: list[Version] = []
        self.promotions: list[Promotion] = []
        self.rules = {
            "Production": Rules(0, 1, False, True),
            "Staging": Rules(0, 0, False, True),
            "Archived": Rules(0, 0, False, True),
        }
        self.roles = dict(ROLES)
        self.ticks = 0

    # --- Who may ---------------------------------------------------------------------------------------------------

    def _needs(self, who: str, *roles: str) -> None:
        if self.roles[who] not in roles:
            raise Refused("RoleMissing")

    def _reviews(self, who: str) -> bool:
        return self.roles[who] in ("reviewer", "maintainer", "administrator")

    def _had_part(self, promotion: Promotion) -> set[str]:
        part = {_person(who) for who in (promotion.requester, promotion.version.registrar, *promotion.askers)}
        return {who for who in self.roles if _person(who) in part}

    # --- What is there ---------------------------------------------------------------------------------------------

    def _version(self, number: int) -> Version:
        version = self.versions[number - 1]
        if version.deleted:
            raise Refused("VersionNotFound")
        return version

    def incumbent(self, promotion: Promotion) -> int | None:
        there = [v.number for v in self.versions if v.stage == promotion.target and not v.deleted]
        return max((number for number in there if number != promotion.version.number), default=None)

    def evidence(self, promotion: Promotion) -> object:
        return (promotion.version.number, self.incumbent(promotion), promotion.rules, promotion.round)

    def lacks(self, promotion: Promotion) -> bool:
        now = self.evidence(promotion)
        counting = {
            _person(who)
            for who, seen in promotion.votes
            if seen == now and self._reviews(who) and who not in self._had_part(promotion)
        }
        unchecked = promotion.rules.check and promotion.version.check != "passed"
        return len(counting) < promotion.rules.approvals or unchecked

    # --- What can be done ------------------------------------------------------------------------------------------

    def register(self, who: str) -> None:
        self._needs(who, "contributor", "maintainer", "administrator")
        self.versions.append(Version(len(self.versions) + 1, who))

    def request(self, who: str, number: int, target: str) -> Promotion | None:
        version = self._version(number)
        self._needs(who, "contributor", "reviewer", "maintainer", "administrator")
        if version.stage == target:
            raise Refused("AlreadyThere")
        return self._ask(who, version, target)

    def _ask(self, who: str, version: Version, target: str) -> Promotion:
        found = [p for p in self.promotions if p.state == "open" and (p.version, p.target) == (version, target)]
        if found:
            promotion = found[0]
            promotion.askers.add(who)
            self.settle(promotion)
        else:
            promotion = Promotion(version, target, who, self.rules[target], askers={who})
            self.promotions.append(promotion)
            self.settle(promotion)
        return promotion

    def transition(self, who: str, number: int, target: str) -> None:
        version = self._version(number)
        self._needs(who, "contributor", "reviewer", "maintainer", "administrator")
        if version.stage == target:
            return
        promotion = self._ask(who, version, target)
        if promotion.state == "open" and promotion.rules.bypass and self.roles[who] == "administrator":
            self._carry_out(promotion, bypass=True)
        if promotion.state == "open":
            raise Refused("ReviewNeeded")

    def approve(self, who: str, promotion: Promotion, seen: object) -> None:
        if not self._reviews(who):
            raise Refused("RoleMissing")
        self._must_be_open(promotion)
        if who in self._had_part(promotion):
            raise Refused("SelfApproval")
        if seen != self.evidence(promotion):
            raise Refused("EvidenceChanged")
        if (who, seen) in promotion.votes:
            raise Refused("AlreadyApproved")
        promotion.votes.add((who, seen))
        self.settle(promotion)

    def reject(self, who: str, promotion: Promotion) -> None:
        if not self._reviews(who):
            raise Refused("RoleMissing")
        self._must_be_open(promotion)
        if who in self._had_part(promotion):
            raise Refused("SelfApproval")
        promotion.state = "rejected"

    def withdraw(self, who: str, promotion: Promotion) -> None:
        self._needs(who, "contributor", "reviewer", "maintainer", "administrator")
        self._must_be_open(promotion)
        if who != promotion.requester and self.roles[who] not in ("maintainer", "administrator"):
            raise Refused("NotYourPromotion")
        promotion.state = "withdrawn"

    def reopen(self, who: str, promotion: Promotion) -> None:
        self._needs(who, "contributor", "reviewer", "maintainer", "administrator")
        if promotion.state not in ("rejected", "withdrawn", "expired"):
            raise Refused("PromotionClosed")
        version = self._version(promotion.version.number)
        if version.stage == promotion.target:
            raise Refused("AlreadyThere")
        for other in self.promotions:
            if other.state == "open" and (other.version, other.target) == (version, promotion.target):
                raise Refused("OpenAlready")
        promotion.state, promotion.rules = "open", self.rules[promotion.target]
        promotion.round += 1
        promotion.askers.add(who)
        self.settle(promotion)

    def bypass(self, who: str, promotion: Promotion) -> None:
        self._needs(who, "administrator")
        self._must_be_open(promotion)
        if not (promotion.rules.bypass and self.rules[promotion.target].bypass):
            raise Refused("BypassForbidden")
        self._carry_out(promotion, bypass=True)

    def report(self, who: str, number: int, state: str) -> None:
        version = self._version(number)
        self._needs(who, "contributor", "maintainer", "administrator")
        version.check = state
        for promotion in self.promotions:
            if promotion.state == "open" and promotion.version is version and promotion.rules.check:
                self.settle(promotion)

    def delete(self, who: str, number: int) -> None:
        version = self._version(number)
        if self.roles[who] not in ("maintainer", "administrator"):
            self._needs(who, "contributor")
            if version.registrar != who:
                raise Refused("NotYourVersion")
        if version.stage == EXCLUSIVE:
            raise Refused("StageInUse")
        version.deleted = True
        for promotion in self.promotions:
            if promotion.state == "open" and promotion.version is version:
                promotion.state = "superseded"

    def edit_policy(self, who: str, target: str, approvals: int, check: bool, bypass: bool) -> None:
        self._needs(who, "maintainer", "administrator")
        before = self.rules[target]
        if before.revision and (before.approvals, before.check, before.bypass) == (approvals, check, bypass):
            return
        self.rules[target] = Rules(before.revision + 1, approvals, check, bypass)
        for promotion in self.promotions:
            open_for_it = promotion.state == "open" and promotion.target == target
            if open_for_it and self.rules[target].asks_more_than(promotion.rules):
                self.settle(promotion)

    def expire_all(self) -> None:
        for promotion in self.promotions:
            if promotion.state == "open":
                promotion.state = "expired"

    def sweep(self) -> None:
        for promotion in sorted(self.promotions, key=lambda p: p.settled):
            if promotion.state == "open" and not self.lacks(promotion):
                self.settle(promotion)

    # --- What follows ----------------------------------------------------------------------------------------------

    def _must_be_open(self, promotion: Promotion) -> None:
        if promotion.state != "open":
            raise Refused("PromotionClosed")

    def settle(self, promotion: Promotion) -> None:
        self.ticks += 1
        promotion.settled = self.ticks
        if self.rules[promotion.target].asks_more_than(promotion.rules):
            promotion.rules = self.rules[promotion.target]
        if not self.lacks(promotion):
            self._carry_out(promotion)

    def _carry_out(self, promotion: Promotion, *, bypass: bool = False) -> None:
        if promotion.target == EXCLUSIVE:
            for version in self.versions:
                if version.stage == EXCLUSIVE and not version.deleted:
                    version.stage = "Archived"
        promotion.version.stage = promotion.target
        promotion.state, promotion.bypass = "promoted", bypass


def _person(who: str) -> str:
    return RESPONSIBLE.get(who, who)
