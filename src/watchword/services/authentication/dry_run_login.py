"""Trying a login: every check in order, with what was expected and what presented.

Nothing is issued, spent or counted.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from watchword.domain.actor import Actor
from watchword.domain.authentication.records import MethodConfig
from watchword.domain.bounds import compile_ranges
from watchword.domain.decode import decode
from watchword.domain.errors import BadRequest, Denied, Invalid, NotFound
from watchword.domain.identities.records import Identity
from watchword.methods.base import Check, Checks, Schema, Verified
from watchword.services.access.boundaries import require_over
from watchword.services.authentication import auth_methods, login, method_bodies
from watchword.services.authentication.login import LocatedLogin
from watchword.services.authentication.method_bodies import Method
from watchword.services.context import Ctx
from watchword.services.identities.identities import locate
from watchword.store.access import grants
from watchword.store.authentication import credentials, templates
from watchword.store.people import people


class Circumstances(Schema, frozen=True, kw_only=True):
    """What a login is tried with besides its own body, all of it optional.

    `configuration` is tried in place of the stored one. `address` and `certificate` stand for what the connection would
    have brought. `arn` is judged in place of a proof, by methods that name principals so.
    """

    configuration: dict[str, Any] | None = None
    address: str | None = None
    certificate: str | None = None
    arn: str | None = None


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. `is_proved`: a proof was presented and found genuine."""

    passed: bool
    is_proved: bool
    reason: str | None
    message: str | None
    checks: tuple[Check, ...]
    claims: Mapping[str, Any]


class DryRunChecks(Checks):
    """Checks that go on after one which only compares, so that whoever tries a login sees all that is wrong with it.

    Whether the proof is genuine is never passed over: what follows would judge things that nobody proved.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first: Denied | None = None  # what the login would have been refused for

    def compare(
        self, passed: bool, reason: str, message: str, *, expected: Any = None, presented: Any = None, status: int = 401
    ) -> None:
        """Record whether what was presented is what is demanded."""
        was_refused = self.is_refused
        try:
            super().compare(passed, reason, message, expected=expected, presented=presented, status=status)
        except Denied as denial:
            self.first = self.first or denial
            self.is_refused = was_refused


@cache
def body(method: Method) -> type[Schema]:
    """What OpenAPI shows: the login's body, where nothing is required, and the circumstances."""
    assert method.login is not None
    fields = [
        (field.name, field.type | None, msgspec.field(default=None, name=field.encode_name))
        for field in msgspec.structs.fields(method.login)
    ]
    title = method.login.__module__.rpartition(".")[2].title().replace("_", "") + "Trial"
    struct: type[Schema] = msgspec.defstruct(
        title, fields, bases=(Circumstances,), frozen=True, kw_only=True, rename="camel"
    )  # type: ignore[assignment]
    return struct


async def attempt(ctx: Ctx, method: Method, identity_id: str, given: Mapping[str, Any]) -> Tried:
    """Try a proof on an identity's method.

    Only for who may change the method: the answer tells more than a login does.
    """
    identity, scope = await locate(ctx, identity_id)
    auth_methods.require_any(ctx, scope, ("edit", "edit-auth"), identity)
    around = decode(Circumstances, given)
    async with ctx.view() as tx:
        await require_over(ctx, tx, scope, identity, "edit-auth")
        record = await credentials.config(tx, identity.id, method.slug)
        org = await people.organization(tx, identity.org_id)
        member = await grants.org_membership(tx, "identity", identity.id, identity.org_id)
        template = await templates.by_id(tx, record.template_id) if record and record.template_id else None
    if around.configuration is not None:
        record, template = _unsaved(ctx, method, identity, around.configuration, record), None
    if record is None or org is None:
        raise NotFound(f"The identity does not have {method.title}: send a configuration to try")
    found = LocatedLogin(
        config=record,
        identity=identity,
        org=org,
        template=template,
        is_member=member is not None and member.is_active,
        login_networks=login.login_networks(method, record) if around.address else None,
    )
    tried = await _tried(ctx, method, found, given, around)
    await ctx.audit_read(
        f"test-login-identity-{method.slug}",
        org_id=identity.org_id,
        project_id=identity.project_id,
        identityId=identity.id,
        passed=tried.passed,
        reasonCode=tried.reason,
    )
    return tried


def _unsaved(
    ctx: Ctx, method: Method, identity: Identity, wire: Mapping[str, Any], stored: MethodConfig | None
) -> MethodConfig:
    """A configuration that is not kept.

    It is tried whole: laid over a stored one, its URL would be sent the stored secrets.
    """
    if wire.get("templateId"):
        raise BadRequest("A configuration is tried without a template: send its settings")
    try:
        read = method_bodies.read(method, {name: value for name, value in wire.items() if name not in method.managed})
    except Invalid as refusal:
        raise Invalid(
            [msgspec.structs.replace(issue, path=("configuration", *issue.path)) for issue in refusal.issues]
        ) from None
    config: dict[str, object] = msgspec.to_builtins(read.config, enc_hook=lambda secret: secret.reveal())
    return MethodConfig(
        id=stored.id if stored else "unsaved",
        identity_id=identity.id,
        method=method.slug,
        locator=stored.locator if stored else None,
        config=config,
        created_at=ctx.now,
        updated_at=ctx.now,
        **read.columns,
    )


async def _tried(
    ctx: Ctx, method: Method, found: LocatedLogin, given: Mapping[str, Any], around: Circumstances
) -> Tried:
    checks = DryRunChecks()
    verified = Verified()
    try:
        if around.arn is not None:
            verified = await _judged(ctx, method, found, around.arn, checks)
        else:
            verified = await _proved(ctx, method, found, given, around, checks)
    except Denied as denial:
        checks.first = checks.first or denial
    if around.address:
        is_trusted = compile_ranges(found.config.trusted_ips).admits(around.address)
        text = "The token could not be used from this address"
        checks.compare(
            is_trusted, "address_not_trusted", text, expected="accessTokenTrustedIps", presented=around.address
        )
    first = checks.first
    return Tried(
        passed=first is None,
        is_proved=checks.is_proved,
        reason=first.reason if first else None,
        message=first.message if first else None,
        checks=tuple(checks.done),
        claims=verified.claims if first is None else {},
    )


async def _judged(ctx: Ctx, method: Method, found: LocatedLogin, arn: str, checks: DryRunChecks) -> Verified:
    if method.admit is None:
        raise BadRequest(f"{method.title} names nobody by an ARN: send a proof")
    config = await login.config_of(ctx, method, found)
    method.admit(config, arn.strip(), checks)
    login.require_in_order(ctx, found, checks)
    return Verified()


async def _proved(
    ctx: Ctx, method: Method, found: LocatedLogin, given: Mapping[str, Any], around: Circumstances, checks: DryRunChecks
) -> Verified:
    assert method.login is not None
    names = {field.encode_name for field in msgspec.structs.fields(method.login)}
    wire = {name: value for name, value in given.items() if name in names}
    proof: Any = decode(method.login, wire | ({"identityId": found.identity.id} if "identityId" in names else {}))
    how, what = method.locate(proof)
    if how == "locator":
        is_its = what == found.config.locator
        checks.compare(
            is_its, "client_id_unknown", "This is not the client id", expected=found.config.locator, presented=what[:64]
        )
    inside = Ctx(
        ctx.runtime,
        actor=Actor(kind="nobody"),
        now=ctx.now,
        request_id=ctx.request_id,
        address=around.address,
        certificate=around.certificate,
    )
    verified = await login.prove(inside, method, proof, found, checks, inside.outbound)
    if verified.credential is not None:
        await login.require_use_left(inside, found, verified.credential.id, checks)
    spent = login.spent_by(method, verified)
    if spent is not None:
        async with inside.view() as tx:
            checks.compare(
                not await credentials.is_spent(tx, spent.key), "proof_replayed", "This proof was used before"
            )
    return verified
