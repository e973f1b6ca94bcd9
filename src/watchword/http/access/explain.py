"""Explanations of decisions for operators (docs: how to find out why a request is refused)."""

from collections.abc import Sequence

from watchword.domain.access.abilities import Decision
from watchword.http.routing import IDENTITY, USER, Routes
from watchword.http.wire import Out
from watchword.services.access import explain
from watchword.services.context import Ctx

routes = Routes("explanations", is_compressed=True)


class Explanation(Out, frozen=True, kw_only=True):
    allowed: bool
    decision: Decision
    sources: Sequence[str]
    blocked_by: str | None

    @classmethod
    def of(cls, answer: explain.Explanation) -> "Explanation":
        return cls(
            allowed=answer.allowed, decision=answer.decision, sources=answer.sources, blocked_by=answer.blocked_by
        )


@routes.post("/api/v1/organization/explain", USER, IDENTITY)
async def explain_in_organization(ctx: Ctx, body: explain.Question) -> Explanation:
    """Whether an actor or a role may do something in the caller's organization, and which rule decides."""
    return Explanation.of(await explain.in_organization(ctx, body))


@routes.post("/api/v1/projects/{project_id}/explain", USER, IDENTITY)
async def explain_in_project(ctx: Ctx, project_id: str, body: explain.Question) -> Explanation:
    """Whether an actor or a role may do something in a project, and which rule decides."""
    return Explanation.of(await explain.in_project(ctx, project_id, body))
