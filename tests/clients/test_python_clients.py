"""The Python clients from the registry, unmodified, against a real server."""

import asyncio
import os
import warnings

import pytest

from tests.clients.conftest import Stand


async def test_infisicalsdk_works_with_secrets_and_folders(stand: Stand) -> None:
    def walk() -> dict[str, object]:
        from infisical_sdk import InfisicalSDKClient

        client = InfisicalSDKClient(host=stand.url, cache_ttl=None)
        client.auth.universal_auth.login(stand.client_id, stand.client_secret)
        place = {"project_id": stand.project_id, "environment_slug": "dev", "secret_path": "/"}
        made = client.secrets.create_secret_by_name(secret_name="PY", secret_value="one", secret_comment="c", **place)
        read = client.secrets.get_secret_by_name(secret_name="PY", **place)
        changed = client.secrets.update_secret_by_name(current_secret_name="PY", secret_value="two", **place)
        listed = client.secrets.list_secrets(**place)
        folder = client.folders.create_folder("inner", "dev", stand.project_id)
        folders = client.folders.list_folders(stand.project_id, "dev", "/")
        by_id = client.folders.get_folder_by_id(folder.id)
        client.folders.delete_folder(folder.id, "dev", stand.project_id)
        client.secrets.delete_secret_by_name(secret_name="PY", **place)
        return {
            "made": made.secretValue,
            "read": read.secretValue,
            "changed": (changed.secretValue, changed.version),
            "listed": [one.secretValue for one in listed.secrets],
            "folders": [one.name for one in folders.folders],
            "path": by_id.path,
            "left": len(client.secrets.list_secrets(**place).secrets),
        }

    seen = await asyncio.to_thread(walk)

    assert {
        "made": "one",
        "read": "one",
        "changed": ("two", 2),
        "listed": ["two"],
        "folders": ["inner"],
        "path": "/inner",
        "left": 0,
    } == seen


async def test_infisicalsdk_hears_why_a_login_is_refused(stand: Stand) -> None:
    def walk() -> str:
        from infisical_sdk import InfisicalSDKClient

        client = InfisicalSDKClient(host=stand.url, cache_ttl=None)
        with pytest.raises(Exception, match="nvalid credentials") as refusal:
            client.auth.universal_auth.login(stand.client_id, "0" * 64)
        return type(refusal.value).__name__

    assert "APIError" == await asyncio.to_thread(walk)


async def test_infisical_python_works_with_secrets(stand: Stand) -> None:
    native = pytest.importorskip("infisical_client", reason="infisical-python has no wheel for this Python")

    def walk() -> list[str]:
        client = native.InfisicalClient(
            native.ClientSettings(
                site_url=stand.url,
                auth=native.AuthenticationOptions(
                    universal_auth=native.UniversalAuthMethod(
                        client_id=stand.client_id, client_secret=stand.client_secret
                    )
                ),
            )
        )
        place = {"project_id": stand.project_id, "environment": "dev"}
        made = client.createSecret(native.CreateSecretOptions(secret_name="RS", secret_value="one", **place))
        read = client.getSecret(native.GetSecretOptions(secret_name="RS", **place))
        changed = client.updateSecret(native.UpdateSecretOptions(secret_name="RS", secret_value="two", **place))
        listed = client.listSecrets(native.ListSecretsOptions(include_imports=True, **place))
        gone = client.deleteSecret(native.DeleteSecretOptions(secret_name="RS", **place))
        return [
            made.secret_value,
            read.secret_value,
            changed.secret_value,
            *(one.secret_value for one in listed),
            gone.secret_key,
        ]

    assert ["one", "one", "two", "two", "RS"] == await asyncio.to_thread(walk)


async def test_pydantic_settings_are_filled_from_a_project(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    place = {"workspaceId": stand.project_id, "environment": "dev"}
    await stand.api.ok("POST", "/api/v3/secrets/raw/greeting", {**place, "secretValue": "hello"})
    for name, value in {
        "HOST": stand.url,
        "PROJECT_ID": stand.project_id,
        "ENVIRONMENT": "dev",
        "SECRET_PATH": "/",
        "CLIENT_ID": stand.client_id,
        "CLIENT_SECRET": stand.client_secret,
    }.items():
        monkeypatch.setitem(os.environ, f"INFISICAL_{name}", value)

    def walk() -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package's own
            from pydantic_settings_infisical import InfisicalBaseSettings

            class Settings(InfisicalBaseSettings):
                greeting: str = "nobody filled this in"

            return Settings().greeting

    assert "hello" == await asyncio.to_thread(walk)
