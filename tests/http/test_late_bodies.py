"""A request is judged when its body is here: over a socket, what may be used once cannot be used twice, nor
after its time.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from tests.api import Api
from tests.loopback import listening
from tests.minting import mint, public_pem
from tests.services.people.test_mfa import VERIFY, enrolled, half_signed_in
from watchword.app import Server
from watchword.services.upkeep import sweep

KEYPAIR = "/api/v1/auth/bound-keypair"


async def late(
    api: Api, path: str, body: dict[str, Any], happens: Callable[[], Awaitable[Any]], token: str = ""
) -> tuple[int, Any]:
    """The answer to a request of whose body the second half comes after something else has happened."""
    raw = json.dumps(body).encode()
    head = [
        f"POST {path} HTTP/1.1",
        "Host: watchword.test",
        "Content-Type: application/json",
        f"Content-Length: {len(raw)}",
        "Connection: close",
    ]
    if token:
        head.append(f"Authorization: Bearer {token}")
    async with listening(Server(api.runtime)) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)
        writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + raw[: len(raw) // 2])
        await writer.drain()
        async with httpx.AsyncClient(base_url=url) as client:  # the server has read what came before this
            assert 200 == (await client.get("/healthz")).status_code
        await happens()
        writer.write(raw[len(raw) // 2 :])
        answer = await reader.read()
        writer.close()
    return int(answer.split(b" ")[1]), json.loads(answer.partition(b"\r\n\r\n")[2])


async def test_a_code_that_is_used_while_a_request_with_it_is_under_way_works_once(any_api: Api) -> None:
    authenticator, _ = await enrolled(any_api)
    first, second = await half_signed_in(any_api), await half_signed_in(any_api)
    code = authenticator.code()

    async def used() -> None:
        await any_api.ok("POST", VERIFY, {"mfaToken": code}, token=second)

    status, _ = await late(any_api, VERIFY, {"mfaToken": code}, used, first)
    next_code = await any_api.post(VERIFY, {"mfaToken": authenticator.code()}, token=first)

    assert (401, 200) == (status, next_code.status_code)


async def test_a_code_whose_time_is_over_when_its_request_is_whole_is_refused(any_api: Api) -> None:
    authenticator, _ = await enrolled(any_api)
    token = await half_signed_in(any_api)

    async def time_passes() -> None:
        any_api.clock.forward(90)

    status, _ = await late(any_api, VERIFY, {"mfaToken": authenticator.code()}, time_passes, token)
    next_code = await any_api.post(VERIFY, {"mfaToken": authenticator.code()}, token=token)

    assert (401, 200) == (status, next_code.status_code)


async def keypair(api: Api) -> tuple[str, dict[str, Any]]:
    """An identity with a registered key, and an assertion of it that is good for ten minutes."""
    identity = str((await api.identity())["id"])
    await api.ok(
        "POST", f"{KEYPAIR}/identities/{identity}", {"publicKeys": [public_pem("rsa")], "boundAudiences": "watchword"}
    )
    now = int(time.time())
    claims = {"iss": identity, "sub": identity, "aud": "watchword", "iat": now, "exp": now + 600, "jti": "one"}
    return identity, {"identityId": identity, "jwt": mint(claims)}


async def reason(api: Api, answer: Any) -> str:
    return str((await api.ok("GET", f"/api/v1/organization/login-denials/{answer['reqId']}"))["loginDenial"]["reason"])


async def test_an_assertion_that_is_used_while_a_request_with_it_is_under_way_works_once(any_api: Api) -> None:
    _, body = await keypair(any_api)

    status, answer = await late(
        any_api, f"{KEYPAIR}/login", body, lambda: any_api.ok("POST", f"{KEYPAIR}/login", body, token=None)
    )

    assert (401, "proof_replayed") == (status, await reason(any_api, answer))


async def test_an_assertion_whose_use_was_swept_meanwhile_has_ended_as_well(any_api: Api) -> None:
    _, body = await keypair(any_api)
    swept: dict[str, int] = {}

    async def used_and_swept() -> None:
        await any_api.ok("POST", f"{KEYPAIR}/login", body, token=None)
        any_api.clock.forward(2 * 3600)
        swept.update(await sweep(any_api.runtime))

    status, answer = await late(any_api, f"{KEYPAIR}/login", body, used_and_swept)
    any_api.clock.forward(-2 * 3600)  # the administrator's token has ended otherwise

    assert 1 == swept.get("spent proofs")
    assert (401, "token_expired") == (status, await reason(any_api, answer))
