"""The access report: who in a project may do what with the secrets of an environment, a path or a name.

A fact that is not named may be anything: without a secret's name, every member is listed with what they may do to some
secret there.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from watchword.domain.access.abilities import Ability, Grant, compile_rules
from watchword.domain.access.conditions import is_open
from watchword.domain.errors import Invalid
from watchword.services.access.scopes import active_grants, enter_project, grant_of, is_held
from watchword.services.context import Ctx
from watchword.services.paging import Page
from watchword.services.turns import Turns, beside
from watchword.store.access import access_report
from watchword.store.access.access_report import Holdings, Somebody
from watchword.store.access.grants import HeldRole

ACTIONS = ("describeSecret", "readValue", "create", "edit", "delete")
MOST_RULES = 200_000  # that one report compiles: some seconds of work beside the event loop
SUBJECT = "secrets"
A = TypeVar("A", bound=Hashable)


class SecretSelection(msgspec.Struct, frozen=True, kw_only=True):
    """The secrets that a report is about."""

    environment: str | None = None
    secret_path: str | None = None
    secret_name: str | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """The known facts of the secrets."""
        known = {"environment": self.environment, "secretPath": self.secret_path, "secretName": self.secret_name}
        return {name: value for name, value in known.items() if value}


class AccessEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A member, the actions that it may do, and the roles and privileges that grant them."""

    member: Somebody
    actions: Sequence[str]
    sources: Sequence[str]


async def has_access(
    ctx: Ctx, project_id: str, selection: SecretSelection, *, contains: str = "", offset: int = 0, limit: int = 50
) -> Page[AccessEntry]:
    """Return one page of a project's members by name, with the actions each may do; ended members may do none."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "read", "member")
    ctx.require(scope, "read", "identity")
    async with ctx.survey() as tx:
        members, total = await access_report.page(
            tx, scope.org_id, scope.project.id, now=ctx.now, contains=contains, offset=offset, limit=limit
        )
        turns = Turns()
        holdings = await access_report.holdings(tx, scope.project.id, members, turns)
    facts = selection.facts

    def asked(ability: Ability) -> frozenset[str]:
        return frozenset(action for action in ACTIONS if ability.could(action, SUBJECT, facts))

    entries, known = list[AccessEntry](), Answers(asked)
    for member in members:
        if known.compiled > MOST_RULES:
            raise Invalid.of(
                "limit",
                f"The members of this page hold more than {MOST_RULES} rules that must be asked one by one: ask for "
                f"{len(entries)} members at once, or fewer",
                code="too_big",
            )
        key = (member.kind, member.id)
        rules = sum(len(role.custom.permissions) for role, _ in holdings.roles[key] if role.custom is not None)
        rules += sum(len(privilege.permissions) for privilege in holdings.privileges[key])
        entries.append(await beside(rules, _entry, member, holdings, ctx.now, known))
        await turns.give()
    return Page(entries, total)


class Part(msgspec.Struct, frozen=True):
    """The rules on secrets of one role or privilege.

    `key` names those that are the same for every holder: expressions are filled from the holder's own values.
    """

    grant: Grant
    key: str | None
    denies: bool


def part_of(grant: Grant, key: str | None) -> Part:
    """Return the rules on secrets of a grant."""
    rules = tuple(rule for rule in grant.rules if rule.subject == SUBJECT)
    is_own = any(is_open(rule.conditions) for rule in rules if rule.conditions)
    return Part(Grant(grant.source, rules), None if is_own else key, any(rule.inverted for rule in rules))


class Answers(Generic[A]):
    """What roles and privileges allow of what is asked about secrets, each role asked once for all its holders.

    Hundreds of members hold the same few roles, and a large role takes long to be compiled. Grants alone add up, so
    what several roles without denials allow is what each of them allows. Where one denies, the order of all rules
    matters, and each set of roles that occurs is asked as one.
    """

    def __init__(self, ask: Callable[[Ability], frozenset[A]]) -> None:
        self._ask = ask
        self._parts: dict[str, Part] = {}
        self._allowed: dict[tuple[str | None, ...], frozenset[A]] = {}
        self.compiled = 0  # rules

    def part(self, role: HeldRole) -> Part:
        """Return the rules of a held role."""
        key = f"role/{role.custom.id}" if role.custom else f"built-in/{role.held.role if role.held else ''}"
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = part_of(grant_of("project", role), key)
        return part

    def together(self, parts: Sequence[Part], context: Mapping[str, Any]) -> frozenset[A]:
        """Return what these allow together to a holder with this context."""
        if any(part.denies for part in parts):
            return self._asked(parts, context)
        return frozenset().union(*[self._asked([part], context) for part in parts])

    def _asked(self, parts: Sequence[Part], context: Mapping[str, Any]) -> frozenset[A]:
        key = tuple(part.key for part in parts)
        allowed = None if None in key else self._allowed.get(key)
        if allowed is None:
            self.compiled += sum(len(part.grant.rules) for part in parts)
            allowed = self._ask(compile_rules([part.grant for part in parts], context))
            if None not in key:
                self._allowed[key] = allowed
        return allowed


def _entry(member: Somebody, holdings: Holdings, now: int, known: Answers[str]) -> AccessEntry:
    key = (member.kind, member.id)
    roles, privileges = holdings.roles[key], holdings.privileges[key]
    metadata = {item.key: item.value for item in holdings.metadata.get(key, ())}
    context = {"identity": {"id": member.id, "username": member.name, "metadata": metadata, "auth": {}}}
    own = [role for role, _ in roles if role.membership.actor_kind == member.kind]
    if not member.is_usable or (own and not own[0].membership.is_active):
        return AccessEntry(member=member, actions=(), sources=())
    parts = [(known.part(role), group) for role, group in roles if is_held(role, now)]
    given, _ = active_grants("project", (), privileges, now)
    parts += [(part_of(grant, None), None) for grant in given]
    allowed = known.together([part for part, _ in parts], context)
    sources = [
        f"{part.grant.source} through group {group}" if group else part.grant.source
        for part, group in parts
        if known.together([part], context) & allowed
    ]
    return AccessEntry(
        member=member,
        actions=tuple(action for action in ACTIONS if action in allowed),
        sources=tuple(dict.fromkeys(sources)),
    )
