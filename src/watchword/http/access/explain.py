"""Explanations of decisions for operators (docs: how to find out why a request is refused)."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from watchword.domain.access.abilities import Decision
from watchword.domain.access.rules import to_object
from watchword.http.routing import IDENTITY, USER, Routes
from watchword.http.wire import Out
from watchword.services.access import explain
from watchword.services.context import Ctx

routes = Routes("explanations", is_compressed=True)


class RoleProposalOut(Out, frozen=True, kw_only=True):
    """A role that would allow the act."""

    slug: str
    name: str
    is_custom: bool
    action_count: Annotated[int, msgspec.Meta(description="How many actions on subjects the role allows in all.")]
    unconditional_count: Annotated[int, msgspec.Meta(description="How many of these it allows without conditions.")]


class RemedyOut(Out, frozen=True, kw_only=True):
    """What would allow the act."""

    text: Annotated[str, msgspec.Meta(description="What to do, in a sentence or two.")]
    roles: Annotated[
        Sequence[RoleProposalOut],
        msgspec.Meta(description="Roles that are there and would allow it, the narrowest first; at most ten."),
    ]
    rule: Annotated[
        Mapping[str, Any] | None,
        msgspec.Meta(description="The smallest rule that would allow it, as a role or a privilege takes it."),
    ]

    @classmethod
    def of(cls, remedy: explain.Remedy) -> "RemedyOut":
        return cls(
            text=remedy.text,
            roles=[
                RoleProposalOut(
                    slug=role.slug,
                    name=role.name,
                    is_custom=role.is_custom,
                    action_count=role.breadth.actions,
                    unconditional_count=role.breadth.unconditional,
                )
                for role in remedy.roles
            ],
            rule=to_object(remedy.rule) if remedy.rule is not None else None,
        )


class Explanation(Out, frozen=True, kw_only=True):
    allowed: bool
    decision: Decision
    sources: Sequence[str]
    blocked_by: str | None
    remedy: Annotated[RemedyOut | None, msgspec.Meta(description="What would allow it; null where rules allow it.")]

    @classmethod
    def of(cls, answer: explain.Explanation) -> "Explanation":
        return cls(
            allowed=answer.allowed,
            decision=answer.decision,
            sources=answer.sources,
            blocked_by=answer.blocked_by,
            remedy=RemedyOut.of(answer.remedy) if answer.remedy is not None else None,
        )


@routes.post("/api/v1/organization/explain", USER, IDENTITY)
async def explain_in_organization(ctx: Ctx, body: explain.Question) -> Explanation:
    """Whether an actor or a role may do something in the caller's organization, and which rule decides."""
    return Explanation.of(await explain.in_organization(ctx, body))


@routes.post("/api/v1/projects/{project_id}/explain", USER, IDENTITY)
async def explain_in_project(ctx: Ctx, project_id: str, body: explain.Question) -> Explanation:
    """Whether an actor or a role may do something in a project, and which rule decides."""
    return Explanation.of(await explain.in_project(ctx, project_id, body))
