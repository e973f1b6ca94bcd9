"""Try a login without logging in: every check in order, with what was expected and what was presented.

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
from watchword.services.authentication import auth_methods, login, method_bodies, sealed_config
from watchword.services.authentication.login import LocatedLogin
from watchword.services.authentication.method_bodies import Method
from watchword.services.authentication.proposals import proposed_checks
from watchword.services.context import Ctx
from watchword.services.identities.identities import locate
from watchword.services.keys.keyring import org_scope
from watchword.store.access import grants
from watchword.store.authentication import method_configs, spent_proofs, templates
from watchword.store.people import people


class Circumstances(Schema, frozen=True, kw_only=True):
    """What a login is tried with besides its own body, all of it optional.

    `configuration` replaces the stored one. `address` and `certificate` stand for those of a real connection. `arn` is
    judged in place of a proof, by methods that name principals by ARN.
    """

    configuration: dict[str, Any] | None = None
    address: str | None = None
    certificate: str | None = None
    arn: str | None = None


class DryRunResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a dry run. `is_proved`: a proof was presented and found genuine."""

    passed: bool
    is_proved: bool
    reason: str | None
    message: str | None
    checks: tuple[Check, ...]
    claims: Mapping[str, Any]


class DryRunChecks(Checks):
    """Checks that continue after a failed comparison, so that an operator sees all that is wrong with a login.

    A failed proof is never passed over: what follows would judge facts that nobody proved.
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
    """Return the body as OpenAPI shows it: the login's fields, none of them required, and the dry run's own."""
    assert method.login is not None
    fields = [
        (field.name, field.type | None, msgspec.field(default=None, name=field.encode_name))
        for field in msgspec.structs.fields(method_bodies.login_body(method))
    ]
    title = method.login.__module__.rpartition(".")[2].title().replace("_", "") + "TestLogin"
    struct: type[Schema] = msgspec.defstruct(
        title, fields, bases=(Circumstances,), frozen=True, kw_only=True, rename="camel"
    )  # type: ignore[assignment]
    return struct


async def attempt(
    ctx: Ctx, method: Method, identity_id: str, sent: Mapping[str, Any], *, keeps_secrets: bool = False
) -> DryRunResult:
    """Try a proof on an identity's method.

    Only a caller who may change the method may try: the answer tells more than a login does. `keeps_secrets`: a
    configuration that is tried keeps the stored secrets that it does not name, as a change would; only where the
    settings that say where they are sent are as they are stored.
    """
    identity, scope = await locate(ctx, identity_id)
    auth_methods.require_any(ctx, scope, ("edit", "edit-auth"), identity)
    circumstances = decode(Circumstances, sent)
    async with ctx.view() as tx:
        await require_over(ctx, tx, scope, identity, "edit-auth")
        record = await method_configs.config(tx, identity.id, method.slug)
        org = await people.organization(tx, identity.org_id)
        member = await grants.org_membership(tx, "identity", identity.id, identity.org_id)
        template = await templates.by_id(tx, record.template_id) if record and record.template_id else None
        kept: Mapping[str, Any] = {}
        if keeps_secrets and record is not None and circumstances.configuration is not None:
            sealer = await ctx.runtime.keys.sealer(tx, org_scope(identity.org_id))
            kept = _kept(method, sealed_config.unsealed(method, record, sealer), circumstances.configuration)
    if circumstances.configuration is not None:
        record, template = _unsaved(ctx, method, identity, {**kept, **circumstances.configuration}, record), None
    if record is None or org is None:
        raise NotFound(f"The identity does not have {method.title}: send a configuration to try")
    located = LocatedLogin(
        config=record,
        identity=identity,
        org=org,
        template=template,
        is_member=member is not None and member.is_active,
        login_networks=login.login_networks(method, record) if circumstances.address else None,
    )
    result = await _run(ctx, method, located, sent, circumstances)
    await ctx.audit_read(
        f"test-login-identity-{method.slug}",
        org_id=identity.org_id,
        project_id=identity.project_id,
        identityId=identity.id,
        passed=result.passed,
        reasonCode=result.reason,
    )
    return result


def _kept(method: Method, stored: Mapping[str, Any], tried: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stored secrets that a configuration does not name, if they would be sent where they are sent now."""
    if any(tried.get(name, "") != stored.get(name, "") for name in method.sends_secrets_to):
        return {}
    secrets = sealed_config.secret_fields(method)
    return {name: stored[name] for name in secrets if stored.get(name) and name not in tried}


def _unsaved(
    ctx: Ctx, method: Method, identity: Identity, wire: Mapping[str, Any], stored: MethodConfig | None
) -> MethodConfig:
    """Make a configuration that is not stored.

    It is tried without the stored one: merged with it, its URL would get the stored secrets.
    """
    if wire.get("templateId"):
        raise BadRequest("A configuration is tried without a template: send its settings")
    try:
        sent = method_bodies.known(method, identity.id, wire)
        read = method_bodies.read(method, sent, ctx.runtime.operator)
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


async def _run(
    ctx: Ctx, method: Method, located: LocatedLogin, sent: Mapping[str, Any], circumstances: Circumstances
) -> DryRunResult:
    checks = DryRunChecks()
    verified = Verified()
    try:
        if circumstances.arn is not None:
            verified = await _judged(ctx, method, located, sent, circumstances.arn, checks)
        else:
            verified = await _proved(ctx, method, located, sent, circumstances, checks)
    except Denied as denial:
        checks.first = checks.first or denial
    if circumstances.address:
        is_trusted = compile_ranges(located.config.trusted_ips).admits(circumstances.address)
        text = "The token could not be used from this address"
        checks.compare(
            is_trusted, "address_not_trusted", text, expected="accessTokenTrustedIps", presented=circumstances.address
        )
    denial_first = checks.first
    return DryRunResult(
        passed=denial_first is None,
        is_proved=checks.is_proved,
        reason=denial_first.reason if denial_first else None,
        message=denial_first.message if denial_first else None,
        checks=tuple(proposed_checks(method, located.config, located.template, checks)),
        claims=verified.claims if denial_first is None else {},
    )


async def _judged(
    ctx: Ctx, method: Method, located: LocatedLogin, sent: Mapping[str, Any], arn: str, checks: DryRunChecks
) -> Verified:
    if method.admit is None:
        raise BadRequest(f"{method.title} names nobody by an ARN: send a proof")
    names = decode(method_bodies.OrganizationNames, sent)
    config = await login.read_config(ctx, method, located)
    method.admit(config, arn.strip(), checks)
    login.require_in_order(ctx, located, checks)
    await login.for_organization(ctx, names, located, checks)
    return Verified()


async def _proved(
    ctx: Ctx,
    method: Method,
    located: LocatedLogin,
    sent: Mapping[str, Any],
    circumstances: Circumstances,
    checks: DryRunChecks,
) -> Verified:
    shape = method_bodies.login_body(method)
    names = {field.encode_name for field in msgspec.structs.fields(shape)}
    wire = {name: value for name, value in sent.items() if name in names}
    proof: Any = decode(shape, wire | ({"identityId": located.identity.id} if "identityId" in names else {}))
    kind, value = method.locate(proof)
    if kind == "locator":
        is_same = value == located.config.locator
        checks.compare(
            is_same,
            "client_id_unknown",
            "This is not the client id",
            expected=located.config.locator,
            presented=value[:64],
        )
    dry_ctx = Ctx(
        ctx.runtime,
        actor=Actor(kind="nobody"),
        now=ctx.now,
        request_id=ctx.request_id,
        address=circumstances.address,
        certificate=circumstances.certificate,
    )
    verified = await login.prove(dry_ctx, method, proof, located, checks, dry_ctx.outbound, ctx.runtime.asking)
    await login.for_organization(dry_ctx, proof, located, checks)
    if verified.credential is not None:
        await login.require_use_left(dry_ctx, located, verified.credential.id, checks)
    spent = login.spent_by(method, verified)
    if spent is not None:
        async with dry_ctx.view() as tx:
            checks.compare(
                not await spent_proofs.is_spent(tx, spent.key), "proof_replayed", "This proof was used before"
            )
    return verified
