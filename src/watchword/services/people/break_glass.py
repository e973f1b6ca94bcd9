"""Break glass: recover access with the database and the root key when no administrator can sign in.

An operator who has both can read and change everything anyway; here it is done by the rules, takes effect at once on
running servers, and is recorded in the audit log.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from watchword.domain.actor import OPERATOR
from watchword.domain.errors import BadRequest, NotFound
from watchword.domain.people.emails import normalised
from watchword.domain.people.records import User
from watchword.domain.secret import Secret
from watchword.services.access.role_refs import RoleEntry, resolve
from watchword.services.context import Ctx
from watchword.services.people import mfa, organizations, passwords, sign_in
from watchword.services.runtime import Runtime
from watchword.store.access import grants
from watchword.store.authentication import lockouts
from watchword.store.engine import Tx
from watchword.store.identities import identities
from watchword.store.people import accounts, people


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """The person that an act was for, and what was done besides."""

    user: User
    sessions_ended: int = 0
    second_factor_removed: bool = False
    activated: bool = False
    organization_id: str | None = None


def _ctx(runtime: Runtime) -> Ctx:
    ctx = Ctx(runtime, actor=OPERATOR, request_id="operator")
    ctx.public("who has the root key and the database may do everything")
    return ctx


async def _person(tx: Tx, email: str) -> User:
    person = await people.user_by_email(tx, normalised(email))
    if person is None:
        raise NotFound(
            f"There is no person with the address {email}: people are invited, the first one is made by `watchword "
            "bootstrap`"
        )
    return person


async def _unlock(ctx: Ctx, tx: Tx, person: User) -> None:
    await accounts.clear_failures(tx, f"mfa/{person.id}")
    for begin in (sign_in.password_failures_of(ctx, person.email), f"mfa/{person.id}/"):
        await accounts.clear_failures_below(tx, begin)


async def reset_password(
    runtime: Runtime, email: str, password: Secret, by: Mapping[str, Any], *, remove_second_factor: bool = False
) -> Done:
    """Set a person's password; all its sessions end, and its failures are cleared. Raises Invalid, NotFound."""
    ctx = _ctx(runtime)
    async with ctx.view() as tx:
        before = await _person(tx, email)
    await passwords.require_usable(password, own=(before.email, before.first_name, before.last_name))
    hashed = await runtime.passwords.hashed(password)
    async with ctx.unit() as tx:
        person = await _person(tx, email)
        await people.change_user(tx, person.id, password_hash=hashed, updated_at=ctx.now)
        ended = await people.remove_sessions(tx, person.id)
        await _unlock(ctx, tx, person)
        removes = remove_second_factor and person.mfa_method is not None
        if removes:
            await mfa.erase(ctx, tx, person.id)
            ctx.audit("disable-user-mfa", userId=person.id, **by)
        ctx.audit("reset-user-password", userId=person.id, email=person.email, **by)
    return Done(user=person, sessions_ended=ended, second_factor_removed=removes)


async def unlock(runtime: Runtime, email: str, by: Mapping[str, Any]) -> Done:
    """Clear a person's counted failures, and activate the account if it was deactivated. Raises NotFound."""
    ctx = _ctx(runtime)
    async with ctx.unit() as tx:
        person = await _person(tx, email)
        await _unlock(ctx, tx, person)
        if not person.is_active:
            await people.change_user(tx, person.id, is_active=True, updated_at=ctx.now)
            ctx.audit("activate-user", userId=person.id, **by)
        ctx.audit("unlock-user", userId=person.id, email=person.email, **by)
    return Done(user=person, activated=not person.is_active)


async def unlock_identity(runtime: Runtime, identity_id: str, by: Mapping[str, Any]) -> int:
    """Clear the lockouts of a machine identity; return how many there were. Raises NotFound."""
    ctx = _ctx(runtime)
    async with ctx.unit() as tx:
        identity = await identities.by_id(tx, identity_id)
        if identity is None:
            raise NotFound(f"There is no identity {identity_id}")
        cleared = await lockouts.clear_all(tx, identity.id, f"{identity.id}/")
        ctx.audit(
            "unlock-identity",
            org_id=identity.org_id,
            project_id=identity.project_id,
            identityId=identity.id,
            locks=cleared,
            **by,
        )
    return cleared


async def promote(runtime: Runtime, email: str, by: Mapping[str, Any], *, organization_id: str | None = None) -> Done:
    """Make a person an administrator of the instance, and of an organization where one is named.

    Raises NotFound, BadRequest.
    """
    ctx = _ctx(runtime)
    async with ctx.unit() as tx:
        person = await _person(tx, email)
        if not person.is_active:
            raise BadRequest(f"The account of {email} is deactivated: `watchword admin unlock` lets it be used again")
        await people.change_user(tx, person.id, is_instance_admin=True, updated_at=ctx.now)
        if organization_id is not None:
            await _make_org_admin(ctx, tx, person, organization_id)
        ctx.audit("promote-instance-admin", org_id=organization_id, userId=person.id, email=person.email, **by)
    return Done(user=person, organization_id=organization_id)


async def _make_org_admin(ctx: Ctx, tx: Tx, person: User, organization_id: str) -> None:
    if await people.organization(tx, organization_id) is None:
        raise NotFound(f"There is no organization {organization_id}")
    await accounts.hold_organization(tx, organization_id)
    member = await grants.org_membership(tx, "user", person.id, organization_id)
    if member is None:
        await organizations.add_member(ctx, tx, organization_id, "user", person.id, "admin")
        return
    resolved = await resolve(
        ctx,
        tx,
        "organization",
        [RoleEntry(role="admin")],
        membership_id=member.id,
        org_id=organization_id,
        project_id=None,
    )
    await grants.replace_roles(tx, member, resolved.rows, ctx.now)
    await grants.change_membership(tx, member, is_active=True, updated_at=ctx.now)
