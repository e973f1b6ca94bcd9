"""Who has access to a project's secrets."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from watchword.domain.decode import Trimmed
from watchword.http.routing import IDENTITY, USER, Routes
from watchword.http.wire import Out
from watchword.services.access import access_report
from watchword.services.access.access_report import AccessEntry, SecretSelection
from watchword.services.context import Ctx

routes = Routes("who has access", is_compressed=True)


class ActorOut(Out, frozen=True, kw_only=True):
    type: str
    id: str
    name: str
    is_active: bool


class EntryOut(Out, frozen=True, kw_only=True):
    """A person or identity, the actions on secrets it holds, and the roles and privileges that give these."""

    actor: ActorOut
    actions: Sequence[str]
    sources: Sequence[str]

    @classmethod
    def of(cls, entry: AccessEntry) -> "EntryOut":
        actor = ActorOut(
            type=entry.member.kind, id=entry.member.id, name=entry.member.name, is_active=entry.member.is_usable
        )
        return cls(actor=actor, actions=entry.actions, sources=entry.sources)


class AccessReply(Out, frozen=True, kw_only=True):
    access: Sequence[EntryOut]
    total_count: int


class AccessQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A place and a page."""

    environment: Trimmed | None = None
    secret_path: Trimmed | None = None
    secret_name: Trimmed | None = None
    search: str = ""
    offset: Annotated[int, msgspec.Meta(ge=0)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


@routes.get("/api/v1/projects/{project_id}/access", USER, IDENTITY)
async def who_has_access(ctx: Ctx, project_id: str, query: AccessQuery) -> AccessReply:
    """List everybody in a project with the actions they hold on secrets, of an environment, a path or one secret."""
    place = SecretSelection(environment=query.environment, secret_path=query.secret_path, secret_name=query.secret_name)
    page = await access_report.has_access(
        ctx, project_id, place, contains=query.search, offset=query.offset, limit=query.limit
    )
    return AccessReply(access=[EntryOut.of(entry) for entry in page.items], total_count=page.total)
