"""Passkeys as several processes see them: a challenge is judged by any of them, and works once. The pages have more
tests: tests/web/people/test_passkeys.py.
"""

import asyncio
import subprocess
import sys
from contextlib import AsyncExitStack

import pytest

from tests.api import Api, running
from tests.software_key import SoftwareKey
from watchword.domain.actor import Actor
from watchword.domain.errors import BadRequest, Refusal, Unauthorized
from watchword.services.context import Ctx
from watchword.services.people import mfa, passkeys
from watchword.settings import Settings
from watchword.store.people import people

HERE = "http://localhost"


async def person(api: Api) -> Actor:
    """The administrator of the first organization, in a session."""
    account = (await api.ok("GET", "/api/v1/user"))["user"]
    async with api.runtime.store.read() as tx:
        session = (await people.sessions_of(tx, account["id"]))[0]
    return Actor(kind="user", id=account["id"], email=account["email"], session_id=session.id)


async def added(api: Api, key: SoftwareKey, actor: Actor, name: str = "Stick") -> passkeys.Added:
    ctx = Ctx(api.runtime, actor=actor)
    answer = key.make(await passkeys.creation(ctx, HERE))
    return await passkeys.add(ctx, HERE, passkeys.AddPasskey(name=name, credential=answer))


async def test_a_challenge_of_one_process_is_judged_and_spent_by_another(any_settings: Settings) -> None:
    """Two servers over one PostgreSQL, one on SQLite."""
    async with AsyncExitStack() as stack:
        one = other = await stack.enter_async_context(running(any_settings))
        if any_settings.database_url is not None:
            other = await stack.enter_async_context(running(any_settings, fresh=False))
        actor, key = await person(one), SoftwareKey(step=0)
        asked = await passkeys.creation(Ctx(one.runtime, actor=actor), HERE)
        body = passkeys.AddPasskey(name="Stick", credential=key.make(asked))
        await passkeys.add(Ctx(other.runtime, actor=actor), HERE, body)
        login = passkeys.alone(Ctx(one.runtime), HERE, "browser")
        use = passkeys.UsePasskey(credential=key.use(login))

        signed_in = await passkeys.login(Ctx(other.runtime), HERE, "browser", use)
        with pytest.raises(Unauthorized):
            await passkeys.login(Ctx(one.runtime), HERE, "browser", use)

    assert signed_in.session.is_mfa_verified


async def test_of_two_answers_to_one_challenge_at_once_one_counts(any_api: Api) -> None:
    key = SoftwareKey(step=0)
    await added(any_api, key, await person(any_api))
    use = passkeys.UsePasskey(credential=key.use(passkeys.alone(Ctx(any_api.runtime), HERE, "browser")))

    answers = await asyncio.gather(
        *[passkeys.login(Ctx(any_api.runtime), HERE, "browser", use) for _ in range(4)], return_exceptions=True
    )

    assert 3 == sum(isinstance(answer, Unauthorized) for answer in answers)


async def test_two_first_passkeys_at_once_leave_one_set_of_recovery_codes(any_api: Api) -> None:
    actor = await person(any_api)
    keys = [SoftwareKey(credential_id=bytes([number]) * 16) for number in range(3)]

    made = await asyncio.gather(*[added(any_api, key, actor) for key in keys])

    assert 1 == sum(bool(one.recovery_codes) for one in made)
    assert 3 == len(await passkeys.mine(Ctx(any_api.runtime, actor=actor)))
    assert 10 == (await mfa.state(Ctx(any_api.runtime, actor=actor))).recovery_codes_left


async def test_without_a_browser_secret_no_challenge_is_ours(api: Api) -> None:
    key = SoftwareKey()
    await added(api, key, await person(api))
    use = passkeys.UsePasskey(credential=key.use(passkeys.alone(Ctx(api.runtime), HERE, "")))
    with pytest.raises(Unauthorized):
        await passkeys.login(Ctx(api.runtime), HERE, "", use)


def test_the_libraries_are_imported_with_the_first_passkey_and_the_first_drawn_code() -> None:
    code = "import sys, watchword.web.table; sys.exit(bool({'fido2', 'segno'} & sys.modules.keys()))"
    assert 0 == subprocess.run([sys.executable, "-c", code], check=False).returncode


async def test_the_last_factor_goes_with_the_passkey_whatever_comes_first(any_api: Api) -> None:
    actor = await person(any_api)
    keys = [SoftwareKey(credential_id=bytes([number]) * 16) for number in range(2)]
    ids = [(await added(any_api, key, actor)).passkey.id for key in keys]

    await asyncio.gather(*[passkeys.remove(Ctx(any_api.runtime, actor=actor), id) for id in ids])

    state = await mfa.state(Ctx(any_api.runtime, actor=actor))
    assert (False, 0) == (state.is_enabled, state.recovery_codes_left)


async def test_where_passkeys_cannot_work_none_is_made(api: Api) -> None:
    ctx = Ctx(api.runtime, actor=await person(api))
    for here in ("http://127.0.0.1:8080", "https://made.up.test"):
        with pytest.raises(BadRequest, match="WATCHWORD_SITE_URL"):
            await passkeys.creation(ctx, here)
        assert "" == passkeys.alone(ctx, here, "browser")


async def test_a_key_of_another_kind_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from watchword.domain.people import webauthn

    monkeypatch.setattr(webauthn, "ALGORITHMS", (-8,))
    with pytest.raises(Refusal, match="of a kind that is not taken"):
        await added(api, SoftwareKey(), await person(api))
