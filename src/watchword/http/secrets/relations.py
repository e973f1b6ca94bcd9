"""What a secret refers to and is referred to by, and the tree of references that its value is made of."""

from collections.abc import Sequence
from typing import Any

from watchword.domain.secrets.references import Address
from watchword.http.routing import ALL, USER, Routes
from watchword.http.secrets import wire
from watchword.http.wire import Out
from watchword.services.access.scopes import enter_project
from watchword.services.context import Ctx
from watchword.services.secrets import reading, relations
from watchword.services.secrets.relations import Node

routes = Routes("secrets")


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


async def _one(ctx: Ctx, name: str, query: wire.NamedRef) -> reading.SecretRequest:
    target = await wire.target_of(ctx, query)
    return reading.SecretRequest(
        project_id=target.project_id, environment=target.environment, path=target.path, name=name, kind=query.type
    )


@routes.get("/api/v4/secrets/{secret_name}/secret-references", *ALL)
async def get_references(ctx: Ctx, secret_name: str, query: wire.NamedRef) -> TiesReply:
    """List what a secret refers to, and what refers to it."""
    ties = await relations.ties(ctx, await _one(ctx, secret_name, query))
    return TiesReply(
        secret_references=AddressOut.every(ties.refers_to), referenced_by=AddressOut.every(ties.referred_by)
    )


@routes.get("/api/v4/secrets/{secret_name}/secret-reference-tree", *ALL)
async def get_reference_tree(ctx: Ctx, secret_name: str, query: wire.NamedRef) -> TreeReply:
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
