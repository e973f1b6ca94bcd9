"""`watchword move-in` between two organizations of a real server."""

import asyncio
import json
from pathlib import Path

from tests.cli.serving import watchword
from tests.processes import serving
from watchword.cli.move_in import MoveInProgress


async def test_a_dry_run_changes_nothing_and_a_run_brings_secrets_and_can_be_repeated(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        api = await server.api()
        source = await api.ok("POST", "/api/v2/workspace", {"projectName": "Shop", "slug": "the-shop"})
        place = {"workspaceId": source["project"]["id"], "environment": "dev"}
        await api.ok("POST", "/api/v3/secrets/raw/KEY", {**place, "secretValue": "value"})
        org_id, token = await api.organization("There")
        command = [
            "move-in",
            "--from-url",
            server.url,
            "--from-token",
            api.token,
            "--from-org",
            api.org_id,
            "--url",
            server.url,
            "--token",
            token,
            "--org",
            org_id,
            "--resume",
            str(tmp_path / "done.json"),
            "--output",
            "json",
        ]

        async def run(*more: str) -> dict[str, object]:
            done = await asyncio.to_thread(watchword, *command, *more)
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

        planned = await run("--dry-run")
        empty = await api.ok("GET", "/api/v1/workspace", token=token)
        first, again = await run(), await run()
        there = (await api.ok("GET", "/api/v1/workspace", token=token))["workspaces"]
        query = {"workspaceId": there[0]["id"], "environment": "dev"}
        found = await api.ok("GET", "/api/v3/secrets/raw/KEY", token=token, query=query)

    assert [] == empty["workspaces"]
    assert 1 == planned["projects"][0]["secrets"]  # type: ignore[index]
    assert (1, 0) == (first["secrets"], again["secrets"])
    assert "value" == found["secret"]["secretValue"]


def test_what_is_left_to_do_by_hand_is_remembered_with_the_steps(tmp_path: Path) -> None:
    file = tmp_path / "done.json"
    first = MoveInProgress(file)
    first.done.add("identity/1")
    first.by_hand.append("identity deployer: universal-auth needs client secrets issued or entered again")
    first.write()
    again = MoveInProgress(file)
    file.write_text('["identity/2"]')
    of_an_earlier_version = MoveInProgress(file)

    assert ({"identity/1"}, first.by_hand) == (again.done, again.by_hand)
    assert ({"identity/2"}, []) == (of_an_earlier_version.done, of_an_earlier_version.by_hand)
    assert 0o600 == file.stat().st_mode & 0o777
