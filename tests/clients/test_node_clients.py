"""The Node clients from the registry, unmodified, against a real server."""

import asyncio
import json
import os
import pathlib

from tests.clients.conftest import Stand, output_of


async def test_the_node_sdk_renews_and_works_with_secrets(stand: Stand, node_folder: pathlib.Path) -> None:
    given = {
        "url": stand.url,
        "clientId": stand.client_id,
        "clientSecret": stand.client_secret,
        "projectId": stand.project_id,
    }

    printed = await output_of("node", str(node_folder / "sdk.mjs"), json.dumps(given), cwd=node_folder)
    seen = {fact["name"]: fact["value"] for fact in map(json.loads, printed.splitlines())}

    assert {
        "a renewed token is a new one": True,
        "created": "one",
        "read": "one",
        "updated": "two",
        "listed": ["NODE=two"],
        "folder": "inner",
        "deleted": "NODE",
        "left": 0,
    } == seen


async def test_the_mcp_server_makes_and_lists_secrets_for_an_assistant(stand: Stand, node_folder: pathlib.Path) -> None:
    variables = {
        **os.environ,
        "INFISICAL_AUTH_METHOD": "universal-auth",
        "INFISICAL_HOST_URL": stand.url,
        "INFISICAL_UNIVERSAL_AUTH_CLIENT_ID": stand.client_id,
        "INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET": stand.client_secret,
    }
    process = await asyncio.create_subprocess_exec(
        "node",
        str(node_folder / "node_modules/.bin/mcp"),
        cwd=node_folder,
        env=variables,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdin
    assert process.stdout

    async def ask(number: int, method: str, params: dict[str, object]) -> dict[str, object]:
        process.stdin.write(
            json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode() + b"\n"
        )
        async with asyncio.timeout(60):
            answer = json.loads(await process.stdout.readline())
        return answer["result"]

    try:
        await ask(
            1,
            "initialize",
            {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
        )
        process.stdin.write(json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}).encode() + b"\n")
        place = {"projectId": stand.project_id, "environmentSlug": "dev", "secretPath": "/"}
        made = await ask(
            2,
            "tools/call",
            {"name": "create-secret", "arguments": {**place, "secretName": "MCP", "secretValue": "one"}},
        )
        listed = await ask(3, "tools/call", {"name": "list-secrets", "arguments": place})
        projects = await ask(4, "tools/call", {"name": "list-projects", "arguments": {"type": "all"}})
    finally:
        process.kill()
        await process.wait()

    assert "MCP" in json.dumps(made)
    assert "MCP" in json.dumps(listed)
    assert stand.project_id in json.dumps(projects)
