"""Auth methods of installed packages: what is wrong with one ends the start with a sentence, or refuses a
login, and nothing else.
"""

import math
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from tests.api import Api, running, sqlite_settings
from tests.databases import placed
from watchword import app
from watchword.domain.errors import Denied
from watchword.methods import METHODS, UnusableMethodError, registry
from watchword.methods.base import AuthMethod, Credential, Given, Refresh, Risk, Schema, Spent, Verified

LOCATOR = "clientId"


class Config(Schema, frozen=True, kw_only=True):
    """Nothing that restricts."""

    note: str = ""


class Login(Schema, frozen=True, kw_only=True):
    """Which answer of `ANSWERS` is wanted."""

    identity_id: str
    answer: str


class Odd:
    """What no JSON holds."""


def nested() -> Any:
    value: Any = "x"
    for _ in range(30):
        value = {"x": value}
    return value


def proved(**more: Any) -> Callable[[Given], Any]:
    def answer(given: Given) -> Any:
        given.checks.prove(True, "word_wrong", "")
        return Verified(**more)

    return answer


def raising(error: Exception) -> Callable[[Given], Any]:
    def answer(_given: Given) -> Any:
        raise error

    return answer


def swallowing(given: Given) -> Any:
    given.checks.prove(True, "word_wrong", "")
    try:
        given.checks.compare(False, "town_not_allowed", "Not from here")
    except Denied:
        return Verified()


def failing(*arguments: Any, **more: Any) -> Callable[[Given], Any]:
    def answer(given: Given) -> Any:
        given.checks.prove(False, *arguments, **more)

    return answer


def other_type(given: Given) -> Any:
    given.checks.prove(True, "word_wrong", "")
    return {"claims": {}}


SOMEBODY = Credential("somebody-elses", None, 0, 0, is_revoked=False)
# What a method of a package may do, and the reason for which a login is refused then.
ANSWERS: dict[str, tuple[Callable[[Given], Any], str]] = {
    "nothing": (lambda _given: None, "nothing_proved"),
    "unproved": (lambda _given: Verified(), "nothing_proved"),
    "other type": (other_type, "method_answer"),
    "swallowed refusal": (swallowing, "method_answer"),
    "credential of somebody else": (proved(credential=SOMEBODY), "method_answer"),
    "credential of no type": (proved(credential="x"), "method_answer"),
    "claims of another method": (proved(claims={"oidc": {"claims": {"repository": "us/app"}}}), "method_answer"),
    "claims of two": (proved(claims={"toy": {}, "oidc": {}}), "method_answer"),
    "claims that are a list": (proved(claims=["toy"]), "method_answer"),
    "claims of an odd type": (proved(claims={"toy": {"x": Odd()}}), "method_answer"),
    "claims by number": (proved(claims={"toy": {1: "x"}}), "method_answer"),
    "claims without end": (proved(claims={"toy": nested()}), "method_answer"),
    "claims that are large": (proved(claims={"toy": {"x": "y" * 70_000}}), "method_answer"),
    "claims longer than a token": (proved(claims={"toy": {"x": "y" * 20_000}}), "claims_too_large"),
    "a number that is none": (proved(claims={"toy": {"x": math.nan}}), "method_answer"),
    "a number that is too large": (proved(claims={"toy": {"x": 2**80}}), "method_answer"),
    "half a character": (proved(claims={"toy": {"x": "\ud800"}}), "method_answer"),
    "facts that are a text": (proved(audit="x"), "method_answer"),
    "facts of an odd type": (proved(audit={"x": Odd()}), "method_answer"),
    "facts with half a character": (proved(audit={"x": "\udfff"}), "method_answer"),
    "facts about another identity": (proved(audit={"identityId": "somebody"}), "method_answer"),
    "facts about another token": (proved(audit={"identityAccessTokenId": "x"}), "method_answer"),
    "facts about another configuration": (proved(audit={"identityToyAuthId": "x"}), "method_answer"),
    "spent is a text": (proved(spent="x"), "method_answer"),
    "spent without a key": (proved(spent=Spent("", 1)), "method_answer"),
    "spent forever": (proved(spent=Spent("x", 2**70)), "method_answer"),
    "spent until a text": (proved(spent=Spent("x", "tomorrow")), "method_answer"),  # type: ignore[arg-type]
    "key error": (raising(KeyError("x")), "method_failed"),
    "recursion": (raising(RecursionError()), "method_failed"),
    "denied with odd words": (raising(Denied("r\ud800", "m\ud800", status=200, facts={"presented": Odd()})), "r?"),
    "check with odd words": (
        failing("r\ud800", "m\ud800", expected=Odd(), presented={1: {"\ud800", 2**90}}, status=200),
        "r?",
    ),
    "check without words": (failing(7, None), "<int>"),
}


async def verify(_config: Config, login: Login, given: Given) -> Any:
    """Answers as it is told."""
    return ANSWERS[login.answer][0](given)


METHOD = AuthMethod(
    slug="toy-auth",
    wrapper="identityToyAuth",
    title="Toy Auth",
    config=Config,
    login=Login,
    verify=verify,
    claims_under="toy",
    risks=lambda _settings: (),
)


def point(method: Any) -> Any:
    """An entry point of an installed package."""

    def load() -> Any:
        if isinstance(method, BaseException):
            raise method
        return method

    return SimpleNamespace(name="toy", dist=SimpleNamespace(name="watchword-toy"), load=load)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def installed(*methods: Any) -> None:
        monkeypatch.setattr(app, "registry", registry)  # else all tests share the methods that are always there
        monkeypatch.setattr(
            "watchword.methods.packages.entry_points", lambda **_: [point(method) for method in methods]
        )

    return installed


@pytest.fixture
async def toy(tmp_path: Path, migrated_file: Path, install: Callable[..., None]) -> AsyncIterator[Api]:
    install(METHOD)
    settings = sqlite_settings(placed(migrated_file, tmp_path), refused_logins_per_minute=0)
    async with running(settings) as found:
        yield found


async def test_a_wrong_answer_is_a_refused_login_with_a_reason_and_never_a_token(toy: Api) -> None:
    identity = await toy.identity("member")
    path = f"/api/v1/auth/toy-auth/identities/{identity['id']}"
    await toy.ok("POST", path, {})
    found, expected = {}, {}
    for name, (_, reason) in ANSWERS.items():
        reply = await toy.post(
            "/api/v1/auth/toy-auth/login", {"identityId": identity["id"], "answer": name}, token=None
        )
        tried = await toy.post(f"{path}/test-login", {"answer": name})
        why = await toy.get(f"/api/v1/organization/login-denials/{reply.json()['reqId']}")
        found[name] = (
            reply.status_code,
            tried.status_code,
            why.json()["loginDenial"]["reason"],
            "accessToken" in reply.json(),
        )
        expected[name] = 401, 200, reason, False

    assert expected == found


async def test_a_right_answer_of_a_package_is_a_login(toy: Api) -> None:
    ANSWERS["right"] = proved(claims={"toy": {"town": "rome", "n": [1, 2.5, None, True]}}, audit={"town": "rome"}), ""
    identity = await toy.identity("member")
    await toy.ok("POST", f"/api/v1/auth/toy-auth/identities/{identity['id']}", {})
    reply = await toy.post("/api/v1/auth/toy-auth/login", {"identityId": identity["id"], "answer": "right"}, token=None)
    del ANSWERS["right"]

    assert 200 == reply.status_code
    assert 200 == (await toy.get(f"/api/v1/identities/{identity['id']}", token=reply.json()["accessToken"])).status_code


def bad(*_arguments: Any) -> Any:
    raise ZeroDivisionError


@pytest.mark.parametrize("part", ["locate", "lockout_key", "secret_of", "form"])
@pytest.mark.parametrize("function", [bad, lambda *_: 7], ids=["raises", "answers a number"])
async def test_a_fault_in_any_part_of_a_method_refuses_the_login(
    tmp_path: Path, migrated_file: Path, install: Callable[..., None], part: str, function: Any
) -> None:
    install(msgspec.structs.replace(METHOD, locks=True, has_lockout=True, **{part: function}))
    async with running(sqlite_settings(placed(migrated_file, tmp_path))) as api:
        identity = await api.identity("member")
        await api.ok("POST", f"/api/v1/auth/toy-auth/identities/{identity['id']}", {})
        for whose in (identity["id"], "nobody"):
            reply = await api.post(
                "/api/v1/auth/toy-auth/login", {"identityId": whose, "answer": "unproved"}, token=None
            )

            assert 401 == reply.status_code


@pytest.mark.parametrize("function", [bad, lambda _: 7], ids=["raises", "answers a number"])
async def test_a_fault_in_what_judges_settings_is_told_to_who_sends_them(
    tmp_path: Path, migrated_file: Path, install: Callable[..., None], function: Any
) -> None:
    install(changed(check=function))
    async with running(sqlite_settings(placed(migrated_file, tmp_path))) as api:
        identity = await api.identity("member")
        reply = await api.post(f"/api/v1/auth/toy-auth/identities/{identity['id']}", {})

    assert (400, "Toy Auth failed: the log of the server says why") == (reply.status_code, reply.json()["message"])


@pytest.mark.parametrize(
    "function",
    [bad, lambda _: 7, lambda _: ["x"], lambda _: [Risk(cast("str", 1), "", "")]],
    ids=["raises", "7", "text", "number"],
)
async def test_a_judge_that_fails_is_a_warning_and_hides_nobody_from_the_report(
    tmp_path: Path, migrated_file: Path, install: Callable[..., None], function: Any
) -> None:
    install(changed(risks=function))
    async with running(sqlite_settings(placed(migrated_file, tmp_path))) as api:
        identity = await api.identity("member")
        made = await api.ok("POST", f"/api/v1/auth/toy-auth/identities/{identity['id']}", {})
        report = await api.ok("GET", "/api/v1/organization/identity-reports/risky", query={"code": "not_judged"})

    assert ["not_judged"] == [risk["code"] for risk in made["warnings"]]
    assert [identity["id"]] == [one["id"] for one in report["identities"]]


async def failing_fetch(_config: Any, _outside: Any) -> None:
    raise ZeroDivisionError


class Kept(Config, frozen=True, kw_only=True):
    """With a moment that the server writes."""

    fetched_at: str | None = None


async def test_a_fault_in_a_refresh_is_told_to_who_asks_for_it(
    tmp_path: Path, migrated_file: Path, install: Callable[..., None]
) -> None:
    refresh = Refresh(what="list", title="list of towns", fetch=failing_fetch, at="fetchedAt")
    install(changed(config=Kept, refresh=refresh, managed=("fetchedAt",)))
    async with running(sqlite_settings(placed(migrated_file, tmp_path))) as api:
        identity = await api.identity("member")
        path = f"/api/v1/auth/toy-auth/identities/{identity['id']}"
        await api.ok("POST", path, {})
        reply = await api.post(f"{path}/refresh-list", {})

    assert (400, "Toy Auth failed: the log of the server says why") == (reply.status_code, reply.json()["message"])


def changed(**more: Any) -> Any:
    return msgspec.structs.replace(METHOD, **more)


def plain(_config: Any, _login: Any, _given: Any) -> Any:
    """No async function."""


WRONG: list[tuple[Any, str]] = [
    (ImportError("no module\nnamed x"), "which cannot be imported: ImportError: no module named x"),
    (SystemExit("over"), "which cannot be imported: SystemExit: over"),
    (Odd(), "it is no AuthMethod but of the type Odd"),
    (changed(slug="oidc-auth"), "there is one with the slug 'oidc-auth' already"),
    (changed(wrapper="identityOidcAuth"), "there is one with the wrapper 'identityOidcAuth' already"),
    (changed(title="OIDC Auth"), "there is one with the title 'OIDC Auth' already"),
    (changed(claims_under="tlsCert"), "there is one with the claims_under 'tlsCert' already"),
    (changed(slug="../admin"), "its slug '../admin' is not of the form"),
    (changed(slug=7), "its slug '7' is not of the form"),
    (changed(wrapper="a b"), "its wrapper 'a b' is not of the form"),
    (changed(title="a\x1b"), "its title is no text"),
    (changed(claims_under="A"), "its claims_under 'A' is not of the form"),
    (changed(max_login=0), "its max_login '0' is no number of bytes from 1 to 262144"),
    (changed(max_login=256 * 1024 + 1), "its max_login '262145' is no number of bytes"),
    (changed(max_login=True), "its max_login 'True' is no number of bytes"),
    (changed(max_login="1000"), "its max_login '1000' is no number of bytes"),
    (changed(config=dict), "its config and its login must be subclasses of Schema"),
    (changed(verify=None), "a login and a verify belong together"),
    (changed(verify=plain), "its verify must be an async function"),
    (changed(locator=LOCATOR), "its locator 'clientId' is not among its managed settings"),
    (changed(managed=("word",)), "it has no setting 'word'"),
    (changed(refresh=Refresh(what="bundle", title="x", fetch=verify, at="word")), "it has no setting 'word'"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("method", "fault"), WRONG, ids=[fault for _, fault in WRONG])
def test_a_method_that_cannot_be_used_ends_the_start_with_one_sentence(
    install: Callable[..., None], method: Any, fault: str
) -> None:
    install(method)

    with pytest.raises(UnusableMethodError) as refused:
        registry()
    assert str(refused.value).startswith("The package watchword-toy brings the auth method toy, which cannot be ")
    assert fault in str(refused.value)
    assert "\n" not in str(refused.value)


def test_two_packages_cannot_bring_the_same_method(install: Callable[..., None]) -> None:
    install(METHOD, METHOD)

    with pytest.raises(UnusableMethodError, match="there is one with the slug 'toy-auth' already"):
        registry()


def test_our_own_methods_stand_the_checks_that_those_of_packages_do(
    install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(*METHODS)
    monkeypatch.setattr("watchword.methods.METHODS", ())

    assert [method.slug for method in METHODS] == list(registry())


def test_the_method_of_the_how_to_guide_can_be_used(install: Callable[..., None]) -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/write-an-auth-method.md").read_text()
    names: dict[str, Any] = {"__name__": "watchword_voucher"}
    exec(page.partition("```python\n")[2].partition("```")[0], names)
    install(names["METHOD"])

    assert "Voucher Auth" == registry()["voucher-auth"].title


def test_a_risk_is_the_only_answer_of_a_judge(install: Callable[..., None]) -> None:
    install(changed(risks=lambda _settings: [Risk("admits_anybody", "note", "everybody")]))

    found = registry()["toy-auth"].risks

    assert found is not None
    assert ["admits_anybody"] == [risk.code for risk in found({})]
