"""Secrets, API version 4: the same secrets, other defaults."""

from collections.abc import Sequence
from typing import Any

from watchword.domain.secrets.references import Address
from watchword.http.routing import ALL, USER, Routes
from watchword.http.secrets import acts, wire
from watchword.http.wire import Out
from watchword.services.access.scopes import enter_project
from watchword.services.context import Ctx
from watchword.services.secrets import reading, relations
from watchword.services.secrets.relations import Node

routes = Routes("secrets")


@routes.get("/api/v4/secrets", *ALL, hot=True)
async def list_secrets(ctx: Ctx, query: wire.ListOptions) -> wire.SecretListReply:
    """List the secrets of a folder, with imports and with references filled in unless the query says otherwise.

    Shared secrets only; with `includePersonalOverrides` a person's own stand in their place. An unknown folder is a
    404.
    """
    personal: acts.Personal = "instead" if query.include_personal_overrides else "none"
    return await acts.every(ctx, query, expands=True, imports=True, personal=personal, must_exist=True)


@routes.get("/api/v4/secrets/id/{secret_id}", *ALL)
async def get_secret_by_id(ctx: Ctx, secret_id: str) -> wire.SecretReply:
    """Read one secret by id."""
    return wire.SecretReply.of(await reading.by_id(ctx, secret_id))


@routes.get("/api/v4/secrets/{secret_name}", *ALL, hot=True)
async def get_secret(ctx: Ctx, secret_name: str, query: wire.OneOptions) -> wire.SecretReply:
    """Read one secret by name."""
    return await acts.get(ctx, secret_name, query, expands=True, imports=True)


@routes.post("/api/v4/secrets/{secret_name}", *ALL, hot=True)
async def create_secret(ctx: Ctx, secret_name: str, body: wire.CreateSecretBody) -> wire.SecretReply:
    """Create a secret."""
    return await acts.create(ctx, secret_name, body)


@routes.patch("/api/v4/secrets/{secret_name}", *ALL, hot=True)
async def update_secret(ctx: Ctx, secret_name: str, body: wire.ChangeBody) -> wire.SecretReply:
    """Change a secret; what is not said stays. References follow a new name."""
    return await acts.change(ctx, secret_name, body)


@routes.delete("/api/v4/secrets/{secret_name}", *ALL, hot=True)
async def delete_secret(ctx: Ctx, secret_name: str, body: wire.DeleteBody) -> wire.SecretReply:
    """Delete a secret; with a shared one go all that override it."""
    return await acts.remove(ctx, secret_name, body)


@routes.post("/api/v4/secrets/batch", *ALL)
async def create_secrets(ctx: Ctx, body: wire.CreateBatch) -> wire.SecretsReply:
    """Create up to 500 secrets in one folder: all or none."""
    return await acts.create_batch(ctx, body)


@routes.patch("/api/v4/secrets/batch", *ALL)
async def update_secrets(ctx: Ctx, body: wire.ChangeBatch) -> wire.SecretsReply:
    """Change up to 500 secrets of one folder: all or none. `mode` says what becomes of unknown names."""
    return await acts.change_batch(ctx, body)


@routes.delete("/api/v4/secrets/batch", *ALL)
async def delete_secrets(ctx: Ctx, body: wire.DeleteBatch) -> wire.SecretsReply:
    """Delete up to 500 secrets of one folder: all or none."""
    return await acts.remove_batch(ctx, body)


@routes.post("/api/v4/secrets/move", *ALL)
async def move_secrets(ctx: Ctx, body: wire.MoveBody) -> acts.MoveReply:
    """Move secrets to another folder or environment."""
    return await acts.move(ctx, body)


@routes.get("/api/v4/secrets/batch", *ALL)
async def get_secret_called_batch(ctx: Ctx, query: wire.OneOptions) -> wire.SecretReply:
    """Read the secret that has the name of another route."""
    return await acts.get(ctx, "batch", query, expands=True, imports=True)


@routes.get("/api/v4/secrets/move", *ALL)
async def get_secret_called_move(ctx: Ctx, query: wire.OneOptions) -> wire.SecretReply:
    """Read the secret that has the name of another route."""
    return await acts.get(ctx, "move", query, expands=True, imports=True)


class AddressOut(Out, frozen=True, kw_only=True):
    """Where a secret is."""

    environment: str
    secret_path: str
    secret_key: str

    @classmethod
    def every(cls, addresses: Sequence[Address]) -> list["AddressOut"]:
        return [
            cls(environment=address.environment, secret_path=address.path, secret_key=address.key)
            for address in addresses
        ]


class TiesReply(Out, frozen=True, kw_only=True):
    secret_references: Sequence[AddressOut]
    referenced_by: Sequence[AddressOut]


class TreeReply(Out, frozen=True, kw_only=True):
    tree: dict[str, Any]
    value: str


async def _one(ctx: Ctx, name: str, query: wire.OneOptions) -> reading.SecretRequest:
    target = await wire.target_of(ctx, query)
    return reading.SecretRequest(
        project_id=target.project_id, environment=target.environment, path=target.path, name=name, kind=query.type
    )


@routes.get("/api/v4/secrets/{secret_name}/secret-references", *ALL)
async def get_references(ctx: Ctx, secret_name: str, query: wire.OneOptions) -> TiesReply:
    """List what a secret refers to, and what refers to it."""
    ties = await relations.ties(ctx, await _one(ctx, secret_name, query))
    return TiesReply(
        secret_references=AddressOut.every(ties.refers_to), referenced_by=AddressOut.every(ties.referred_by)
    )


@routes.get("/api/v4/secrets/{secret_name}/secret-reference-tree", *ALL)
async def get_reference_tree(ctx: Ctx, secret_name: str, query: wire.OneOptions) -> TreeReply:
    """Show everything that a secret's value is made of."""
    tree = await relations.tree(ctx, await _one(ctx, secret_name, query))
    return TreeReply(tree=_node(tree.root), value=tree.value)


def _node(node: Node) -> dict[str, Any]:
    return {
        "secretPath": node.address.path,
        "environment": node.address.environment,
        "key": node.address.key,
        "value": node.value,
        "children": [_node(child) for child in node.children],
    }


class Backfill(wire.FolderRef, frozen=True, kw_only=True, rename="camel"):
    pass


@routes.post("/api/v4/secrets/backfill-secret-references", USER)
async def backfill_references(ctx: Ctx, body: Backfill) -> dict[str, str]:
    """Nothing is left to do: references are noted with every write."""
    scope = await enter_project(ctx, body.project_id or body.workspace_id)
    ctx.require(scope, "edit", "workspace")
    return {"message": "All references are known"}
