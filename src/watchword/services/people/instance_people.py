"""All people of the instance, for its administrators: find, deactivate, delete, replace a lost password or factor."""

from typing import Annotated

import msgspec

from watchword.domain.errors import BadRequest, Forbidden, NotFound
from watchword.domain.people.records import User
from watchword.services.access.scopes import require_actor
from watchword.services.context import Ctx
from watchword.services.paging import Page
from watchword.services.people import account, administrators, mfa
from watchword.store.access import grants
from watchword.store.engine import Tx
from watchword.store.people import accounts, people


class PeopleSearch(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A query for a page of people by address."""

    search_term: str = ""
    offset: Annotated[int, msgspec.Meta(ge=0)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 50


class ChangeAccount(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whether the account may be used."""

    is_active: bool


def require_instance_admin(ctx: Ctx) -> None:
    """Raise Forbidden unless the caller administers the instance."""
    actor = require_actor(ctx)
    ctx.public("instance administration is a flag of the account, no role: checked here")
    if not actor.is_instance_admin:
        raise Forbidden("Only an administrator of the instance may do this")


async def find(ctx: Ctx, body: PeopleSearch) -> Page[User]:
    """Find a page of all people."""
    require_instance_admin(ctx)
    async with ctx.view() as tx:
        users, total = await accounts.find_users(tx, contains=body.search_term, offset=body.offset, limit=body.limit)
    return Page(users, total)


async def _user(tx: Tx, user_id: str) -> User:
    user = await people.user(tx, user_id)
    if user is None:
        raise NotFound("There is no such person")
    return user


async def change(ctx: Ctx, user_id: str, body: ChangeAccount) -> User:
    """Deactivate an account, which ends its sessions, or activate it again. The instance keeps an administrator."""
    require_instance_admin(ctx)
    async with ctx.unit() as tx:
        user = await _user(tx, user_id)
        ends_an_administrator = user.is_instance_admin and not body.is_active
        if ends_an_administrator:
            await administrators.hold(tx)
        if not body.is_active:
            _require_other(ctx, user_id)
            await people.remove_sessions(tx, user_id)
        await people.change_user(tx, user_id, is_active=body.is_active, updated_at=ctx.now)
        if ends_an_administrator:
            await administrators.require_one(ctx, tx)
        ctx.audit("activate-user" if body.is_active else "deactivate-user", userId=user_id)
        return await _user(tx, user_id)


async def remove(ctx: Ctx, user_id: str) -> User:
    """Delete an account with its memberships.

    Refused while an organization, or the instance, would lose its last administrator.
    """
    require_instance_admin(ctx)
    _require_other(ctx, user_id)
    async with ctx.unit() as tx:
        user = await _user(tx, user_id)
        if user.is_instance_admin:
            await administrators.hold(tx)
        for membership in await grants.memberships_of(tx, "user", user_id):
            if membership.project_id is None:
                await _require_another_admin(tx, membership.org_id, membership.id)
        await grants.remove_actor(tx, "user", user_id)
        await accounts.remove_user(tx, user_id)
        if user.is_instance_admin:
            await administrators.require_one(ctx, tx)
        ctx.audit("delete-user", userId=user_id, email=user.email)
    return user


async def _require_another_admin(tx: Tx, org_id: str, membership_id: str) -> None:
    await accounts.hold_organization(tx, org_id)
    roles = (await grants.roles_on(tx, [membership_id]))[membership_id]
    if any(role.role == "admin" for role, _ in roles) and await accounts.other_admins(tx, org_id, membership_id) == 0:
        raise BadRequest(f"The organization {org_id} would be left without an administrator")


def _require_other(ctx: Ctx, user_id: str) -> None:
    if ctx.actor.kind == "user" and ctx.actor.id == user_id:
        raise BadRequest("This is your own account: ask another administrator")


async def reset_link(ctx: Ctx, user_id: str) -> account.ResetLink:
    """Make a link with which the person can set a new password, to be handed over by the administrator."""
    require_instance_admin(ctx)
    async with ctx.view() as tx:
        user = await _user(tx, user_id)
    return await account.reset_link(ctx, user, given_by=ctx.actor.id)


async def remove_second_factor(ctx: Ctx, user_id: str) -> User:
    """Remove the second factor of a person who lost it; all sessions of the person end."""
    require_instance_admin(ctx)
    async with ctx.unit() as tx:
        await _user(tx, user_id)
        await mfa.erase(ctx, tx, user_id)
        await people.remove_sessions(tx, user_id)
        ctx.audit("disable-user-mfa", userId=user_id)
        return await _user(tx, user_id)
