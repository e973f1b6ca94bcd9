"""Service tokens."""

from collections.abc import Mapping, Sequence
from typing import Any

from watchword.domain.projects.records import ServiceToken
from watchword.http.routing import SERVICE, USER, Routes
from watchword.http.wire import Out
from watchword.services.context import Ctx
from watchword.services.projects import service_tokens
from watchword.services.timestamps import iso, iso_or_none

routes = Routes("service tokens")


class ServiceTokenOut(Out, frozen=True, kw_only=True):
    """A service token without the token."""

    id: str
    name: str
    scopes: Sequence[Mapping[str, str]]
    permissions: Sequence[str]
    last_used: str | None
    expires_at: str | None
    created_at: str
    updated_at: str
    encrypted_key: str | None
    iv: str | None
    tag: str | None
    created_by: str
    project_id: str

    @classmethod
    def of(cls, token: ServiceToken) -> "ServiceTokenOut":
        """The token as it is answered."""
        return cls(**_columns(token))


class OwnServiceTokenOut(ServiceTokenOut, frozen=True, kw_only=True):
    """A service token as it reads itself: `workspace` is the id of its project."""

    workspace: str
    user: Mapping[str, Any] | None

    @classmethod
    def own(cls, token: ServiceToken, user: Mapping[str, Any] | None) -> "OwnServiceTokenOut":
        """The token as it is answered to itself."""
        return cls(**_columns(token), workspace=token.project_id, user=user)


def _columns(token: ServiceToken) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "scopes": token.scopes,
        "permissions": token.permissions,
        "last_used": iso_or_none(token.last_used_at),
        "expires_at": iso_or_none(token.expires_at),
        "created_at": iso(token.created_at),
        "updated_at": iso(token.updated_at),
        "encrypted_key": token.encrypted_key,
        "iv": token.iv,
        "tag": token.tag,
        "created_by": token.created_by,
        "project_id": token.project_id,
    }


class NewServiceTokenReply(Out, frozen=True, kw_only=True):
    """A new service token, shown once."""

    service_token: str
    service_token_data: ServiceTokenOut


class DataReply(Out, frozen=True, kw_only=True):
    """A service token."""

    service_token_data: ServiceTokenOut


class ServiceTokensReply(Out, frozen=True, kw_only=True):
    """Service tokens."""

    service_token_data: Sequence[ServiceTokenOut]


@routes.get("/api/v2/service-token", SERVICE)
async def get_own_service_token(ctx: Ctx) -> OwnServiceTokenOut:
    """Read the calling service token."""
    record, person = await service_tokens.own(ctx)
    user = (
        None
        if person is None
        else {
            "id": person.id,
            "_id": person.id,
            "email": person.email,
            "username": person.email,
            "firstName": person.first_name,
            "lastName": person.last_name,
            "createdAt": iso(person.created_at),
            "updatedAt": iso(person.updated_at),
        }
    )
    return OwnServiceTokenOut.own(record, user)


@routes.post("/api/v2/service-token", USER)
async def create_service_token(ctx: Ctx, body: service_tokens.CreateServiceToken) -> NewServiceTokenReply:
    """Create a service token; it is shown once."""
    created = await service_tokens.create(ctx, body)
    return NewServiceTokenReply(
        service_token=created.secret.reveal(), service_token_data=ServiceTokenOut.of(created.record)
    )


@routes.delete("/api/v2/service-token/{service_token_id}", USER)
async def delete_service_token(ctx: Ctx, service_token_id: str) -> DataReply:
    """Delete a service token."""
    return DataReply(service_token_data=ServiceTokenOut.of(await service_tokens.remove(ctx, service_token_id)))


@routes.get("/api/v1/workspace/{project_id}/service-token-data", USER)
async def list_service_tokens(ctx: Ctx, project_id: str) -> ServiceTokensReply:
    """List the service tokens of a project, newest first."""
    return ServiceTokensReply(
        service_token_data=[ServiceTokenOut.of(token) for token in await service_tokens.every(ctx, project_id)]
    )
