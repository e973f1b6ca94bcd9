"""What the pages of one identity have in common: its head, its tabs, its state, and what the reader may do with it."""

from collections.abc import Sequence
from typing import Any

import msgspec

from watchword.domain.access.abilities import ScopeKind, built_in
from watchword.domain.access.records import MembershipRole, Role
from watchword.domain.errors import NotFound
from watchword.domain.identities.records import Identity
from watchword.services.access import boundaries
from watchword.services.authentication.method_bodies import Method
from watchword.services.context import Ctx
from watchword.services.identities import identities
from watchword.services.identities.identities import IdentityDetails
from watchword.web.pages import Page, Tone, Visit
from watchword.web.rendering import since

DAY = 86_400_000  # ms
UNUSED = 30 * DAY
SOON = 14 * DAY


class Chip(msgspec.Struct, frozen=True, kw_only=True):
    """A state as it is shown."""

    text: str
    tone: Tone | str = ""
    icon: str
    calm: bool = False
    title: str = ""


def state_of(details: IdentityDetails, now: int) -> list[Chip]:
    """Return the states of an identity, the first of which says whether it can log in."""
    identity = details.identity
    ends = identity.expires_at
    chips = []
    if identity.is_disabled:
        chips.append(Chip(text="Disabled", icon="power", calm=True))
    elif ends is not None and ends <= now:
        chips.append(Chip(text="Expired", tone="bad", icon="hourglass", title=f"Ended {since(ends, now)}"))
    elif identity.last_login_at is None:
        chips.append(Chip(text="Never used", icon="minus", calm=True))
    elif identity.last_login_at < now - UNUSED:
        chips.append(Chip(text="Unused 30 d", tone="warn", icon="clock"))
    else:
        chips.append(Chip(text="Active", tone="ok", icon="circle-check", calm=True))
    if details.locked_methods:
        chips.append(Chip(text="Locked out", tone="bad", icon="lock", title=", ".join(details.locked_methods)))
    if ends is not None and now < ends < now + SOON:
        chips.append(Chip(text=f"Ends {since(ends, now)}", tone="warn", icon="hourglass"))
    if identity.is_instance_admin:
        chips.append(Chip(text="Instance administrator", tone="new", icon="server"))
    return chips


def method_of(ctx: Ctx, slug: str) -> Method:
    """Return a method by its slug. Raises NotFound."""
    method = ctx.runtime.methods.get(slug)
    if method is None:
        raise NotFound(f"There is no auth method {slug[:64]!r}")
    return method


def place_of(ctx: Ctx, slug: str) -> tuple[str, str]:
    """Return the icon and the title of a method, also of one whose package is not installed."""
    method = ctx.runtime.methods.get(slug)
    return (method.icon, method.title) if method else ("circle-help", slug)


def role_name(details: IdentityDetails) -> str:
    """Return the organization roles of an identity as a text."""
    return ", ".join(named_role(held, role) for held, role in details.roles) or "none"


def named_role(held: MembershipRole, role: Role | None, kind: ScopeKind = "organization") -> str:
    """Return the name of a role that is held: a custom one, or one that is built in."""
    if role is not None:
        return role.name
    fixed = built_in(kind, held.role)
    return fixed.name if fixed is not None else held.role


class Rights(msgspec.Struct, frozen=True):
    """What the reader may do with an identity."""

    edit: bool
    delete: bool
    edit_auth: bool
    make_credentials: bool
    read_credentials: bool
    end_credentials: bool


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """An identity as its pages show it."""

    details: IdentityDetails
    rights: Rights
    chips: Sequence[Chip]
    path: str

    @property
    def identity(self) -> Identity:
        """Its record."""
        return self.details.identity


async def subject(visit: Visit, identity_id: str) -> Subject:
    """Return the identity of a page. Raises NotFound, PermissionDenied."""
    ctx = visit.ctx
    details = await identities.get(ctx, identity_id)
    identity, scope = await identities.locate(ctx, identity_id)
    facts = identities.facts(identity)

    def may(*actions: str) -> bool:
        return any(ctx.may(scope, action, "identity", **facts) for action in actions)

    asked = {
        "edit": may("edit"),
        "delete": may("delete"),
        "edit-auth": may("edit", "edit-auth"),
        "create-token": may("create", "create-token"),
        "delete-token": may("delete", "delete-token"),
    }
    inside = await boundaries.within(ctx, scope, identity, [action for action, has in asked.items() if has])
    rights = Rights(
        edit="edit" in inside,
        delete="delete" in inside,
        edit_auth="edit-auth" in inside,
        make_credentials="create-token" in inside,
        read_credentials=may("read", "get-token"),
        end_credentials="delete-token" in inside,
    )
    return Subject(
        details=details,
        rights=rights,
        chips=state_of(details, ctx.now),
        path=visit.link("identities", identity.id),
    )


def tab(about: Subject, current: str, template: str, *, title: str = "", status: int = 200, **data: Any) -> Page:
    """Return one of the pages of an identity."""
    shown = {"about": about, "current": current, **data}
    name = title or f"{about.identity.name}: {current}"
    secret = bool(data.get("holds_secrets"))
    return Page(template=template, title=name, data=shown, status=status, holds_secrets=secret)
