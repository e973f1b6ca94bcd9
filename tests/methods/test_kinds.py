"""Each check of a login is of one kind, and its kind alone says whether its failure counts towards a lockout."""

import ast
import inspect
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.api import Api, running, sqlite_settings
from tests.databases import placed
from watchword import app
from watchword.domain.authentication import claims, jose
from watchword.methods import METHODS, kubernetes_review
from watchword.methods.base import AuthMethod, Checks, Given, Schema, Verified
from watchword.services.authentication import dry_run_login, login

KINDS = ("prove", "compare", "reach", "form")
PROVE = {
    "alicloud_refused",
    "certificate_chain",
    "client_secret_unknown",
    "not_authenticated",
    "oci_refused",
    "signature_invalid",
    "sts_refused",
    "username_or_password",
}
REACH = {
    "cloud_unknown",
    "alicloud_unavailable",
    "cluster_unreachable",
    "directory_unavailable",
    "keys_unavailable",
    "oci_unavailable",
    "namespace_unreadable",
    "provider_unreachable",
    "resource_unset",
    "review_error",
    "reviewer_unavailable",
    "revocation_unavailable",
    "sts_unavailable",
    "tenant_unusable",
}
COMPARE = {
    "account_gone",
    "account_id",
    "address_not_trusted",
    "allowed_field",
    "arn",
    "audience_mismatch",
    "certificate_expired",
    "certificate_revoked",
    "certificate_not_yet_valid",
    "claim_mismatch",
    "claim_missing",
    "client_id_unknown",
    "client_secret_expired",
    "client_secret_revoked",
    "client_secret_used_up",
    "common_name",
    "identity_disabled",
    "identity_expired",
    "issuer_mismatch",
    "life_too_long",
    "locked_out",
    "namespace_not_allowed",
    "not_a_member",
    "organization_not_allowed",
    "organization_unknown",
    "principal_arn",
    "proof_replayed",
    "service_principal_not_allowed",
    "server_id",
    "spiffe_id_not_allowed",
    "subject_alt_name",
    "subject_mismatch",
    "tenancy",
    "tenant_mismatch",
    "token_expired",
    "token_from_the_future",
    "token_invalidated",
    "token_not_yet_valid",
    "trust_domain_mismatch",
    "user_state",
    "username",
    "*_not_allowed",
}


def checks_in(module: Any) -> list[tuple[str, str]]:
    """The kind and the reason of each check that a module makes; `*` for a part of a reason that is not written out."""
    found = []
    for call in ast.walk(ast.parse(inspect.getsource(module))):
        if not (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and "checks" in ast.unparse(call.func.value)
        ):
            continue
        if call.func.attr == "fail":
            found.append((ast.literal_eval(call.args[0]), reason_of(call.args[1])))
        elif call.func.attr in KINDS:
            found.append((call.func.attr, reason_of(call.args[1])))
        else:
            assert call.func.attr in {"begin_anew", "refused"}, f"{module.__name__} calls checks.{call.func.attr}"
    return found


def reason_of(argument: ast.expr) -> str:
    if isinstance(argument, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "*" for part in argument.values)  # type: ignore[misc]
    text: str = ast.literal_eval(argument)
    return text


def modules_of(method: AuthMethod[Any, Any]) -> list[Any]:
    """The file of a method, and those of the domain that check for it."""
    own = inspect.getmodule(method.config)
    used = {getattr(value, "__module__", "") for value in vars(own).values()}
    return [own, *(module for module in (jose, claims, kubernetes_review) if module.__name__ in used)]


WITH_LOGIN = [method for method in METHODS if method.login is not None]
EVERYWHERE = {
    found
    for module in (
        jose,
        claims,
        kubernetes_review,
        login,
        dry_run_login,
        *(inspect.getmodule(one.config) for one in METHODS),
    )
    for found in checks_in(module)
}


@pytest.mark.parametrize("method", WITH_LOGIN, ids=lambda method: method.slug)
def test_each_reason_of_a_method_has_one_kind_and_one_of_them_proves(method: AuthMethod[Any, Any]) -> None:
    kinds = defaultdict[str, set[str]](set)
    for module in (*modules_of(method), login, dry_run_login):
        for kind, reason in checks_in(module):
            kinds[reason].add(kind)

    assert {} == {reason: found for reason, found in kinds.items() if len(found) != 1}
    assert any("prove" in found for module in modules_of(method) for found in checks_in(module))


def test_the_kinds_are_what_operators_and_lockouts_know() -> None:
    assert PROVE == {reason for kind, reason in EVERYWHERE if kind == "prove"}
    assert REACH == {reason for kind, reason in EVERYWHERE if kind == "reach"}
    assert COMPARE == {reason for kind, reason in EVERYWHERE if kind == "compare"}


class Config(Schema, frozen=True, kw_only=True):
    """Nothing."""


class Login(Schema, frozen=True, kw_only=True):
    """The check that shall fail, and whether a proof is found genuine before."""

    identity_id: str
    kind: str
    reason: str
    is_proved: bool = False


async def verify(_config: Config, body: Login, given: Given) -> Verified:
    """Fails as it is told."""
    if body.is_proved:
        given.checks.prove(True, "word_wrong", "")
    given.checks.fail(body.kind, body.reason, "This failed")  # type: ignore[arg-type]


FAILING = AuthMethod(
    slug="failing-auth",
    wrapper="identityFailingAuth",
    title="Failing Auth",
    config=Config,
    login=Login,
    verify=verify,
    locks=True,
    has_lockout=True,
    lockout_key=lambda body: f"{body.kind} {body.reason} {body.is_proved}",
)


@pytest.fixture
async def failing(tmp_path: Path, migrated_file: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    monkeypatch.setattr(app, "registry", lambda: {**{method.slug: method for method in METHODS}, FAILING.slug: FAILING})
    async with running(sqlite_settings(placed(migrated_file, tmp_path), refused_logins_per_minute=0)) as found:
        yield found


async def test_failed_checks_that_prove_count_towards_a_lockout_and_no_others(failing: Api) -> None:
    """For every reason that there is, of every method: the second failure of a wrong proof finds it locked."""
    identity = await failing.identity("member")
    path = f"/api/v1/auth/failing-auth/identities/{identity['id']}"
    await failing.ok("POST", path, {"lockoutThreshold": 1})
    locked = set()
    for kind, reason in sorted(EVERYWHERE):
        body = {"identityId": identity["id"], "kind": kind, "reason": reason}
        for is_proved in (False, True):
            await failing.post("/api/v1/auth/failing-auth/login", body | {"isProved": is_proved}, token=None)
            second = await failing.post("/api/v1/auth/failing-auth/login", body | {"isProved": is_proved}, token=None)
            why = await failing.ok("GET", f"/api/v1/organization/login-denials/{second.json()['reqId']}")
            if why["loginDenial"]["reason"] == "locked_out" and reason != "locked_out":
                locked.add(reason)

    assert PROVE == locked


def test_a_refusal_without_a_check_counts_as_a_wrong_proof_until_one_was_genuine() -> None:
    before, after = Checks(), Checks()
    after.prove(True, "signature_invalid", "")
    for checks in (before, after):
        checks.refused(login.Denied("nobody_knows"))  # type: ignore[attr-defined]

    assert ("prove", "form") == (before.failed, after.failed)
    assert (False, True) == (before.is_proved, after.is_proved)


def test_two_proofs_are_genuine_together_or_not_at_all() -> None:
    checks = Checks()
    checks.prove(True, "password_wrong", "")
    with pytest.raises(login.Denied):  # type: ignore[attr-defined]
        checks.prove(False, "code_wrong", "Invalid code")

    assert not checks.is_proved
    assert "prove" == checks.failed
