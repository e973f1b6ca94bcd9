"""The versions of a secret: list them, and make one current again."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from watchword.http.routing import IDENTITY, USER, Routes
from watchword.http.secrets import wire
from watchword.http.wire import Out
from watchword.services.context import Ctx
from watchword.services.secrets import versions
from watchword.services.timestamps import iso

routes = Routes("secrets")


class VersionsPage(msgspec.Struct, frozen=True, rename="camel"):
    offset: Annotated[int, msgspec.Meta(ge=0, le=1 << 31)]
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)]


class VersionOut(Out, frozen=True, kw_only=True):
    """A secret as it was at one version."""

    id: str
    secret_id: str
    folder_id: str
    version: int
    type: str
    secret_key: str
    secret_value: str
    secret_value_hidden: bool
    secret_comment: str
    skip_multiline_encoding: bool
    tags: Sequence[wire.SecretTagOut]
    secret_metadata: Sequence[wire.SecretMetadataOut]
    actor: dict[str, str | None]
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, was: versions.SecretVersionView) -> "VersionOut":
        row, view = was.version, was.view
        return cls(
            id=row.id,
            secret_id=row.secret_id,
            folder_id=row.folder_id,
            version=row.version,
            type=row.kind,
            secret_key=row.key,
            secret_value=view.value,
            secret_value_hidden=view.is_hidden,
            secret_comment=view.comment,
            skip_multiline_encoding=bool(row.skip_multiline_encoding),
            tags=wire.SecretTagOut.every(view.tags),
            secret_metadata=[
                wire.SecretMetadataOut(key=i.key, value=i.value, is_encrypted=i.is_encrypted) for i in view.metadata
            ],
            actor={"actorType": row.actor_kind, "actorId": row.actor_id},
            created_at=iso(row.created_at),
            updated_at=iso(row.created_at),
        )


class VersionsReply(Out, frozen=True, kw_only=True):
    secret_versions: Sequence[VersionOut]
    total_count: int


@routes.get("/api/v1/secret/{secret_id}/secret-versions", USER, IDENTITY)
async def list_secret_versions(ctx: Ctx, secret_id: str, query: VersionsPage) -> VersionsReply:
    """List the versions of a secret that are kept, the newest first."""
    page = await versions.every(ctx, secret_id, query.offset, query.limit)
    return VersionsReply(secret_versions=[VersionOut.of(was) for was in page.items], total_count=page.total)


class Rollback(msgspec.Struct, frozen=True):
    version: Annotated[int, msgspec.Meta(ge=1, le=1 << 31)]


@routes.post("/api/v1/secret/{secret_id}/rollback", USER, IDENTITY)
async def roll_back_secret(ctx: Ctx, secret_id: str, body: Rollback) -> wire.SecretReply:
    """Make a secret what it was at a version, as its next version."""
    return wire.SecretReply.of(await versions.roll_back(ctx, secret_id, body.version))
