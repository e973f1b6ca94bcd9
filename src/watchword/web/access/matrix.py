"""Who can do what with the secrets of a project: everybody by environment, or at one place, with the reason."""

from collections.abc import Sequence
from typing import Any, Final

from watchword.services.access import access_report
from watchword.services.access.access_report import AccessEntry, SecretSelection
from watchword.services.projects import projects
from watchword.web.access.rules_form import action_words
from watchword.web.exports import csv_file
from watchword.web.pages import Answer, Page, Pages, Visit

pages = Pages()
SIZE: Final = 50
_MOST: Final = 500  # rows of a file
_ENVIRONMENTS: Final = 6  # columns


@pages.get("/{organization}/access")
async def matrix(visit: Visit) -> Answer:
    """Everybody in a project by environment: what each may do, and by which role."""
    ctx, asked = visit.ctx, visit.query
    joined = await projects.mine(ctx)
    chosen = next((each for each in joined if each.project.id == asked["project"]), joined[0] if joined else None)
    offset = asked.offset
    data: dict[str, Any] = {
        "projects": [(each.project.id, each.project.name) for each in joined],
        "chosen": chosen,
        "asked": asked,
        "actions": [("", "do anything"), *((action, action_words(action)) for action in access_report.ACTIONS)],
        "environments": [("", "every environment")],
        "columns": (),
        "rows": (),
        "total": 0,
        "offset": offset,
        "size": SIZE,
        "csv": visit.again(format="csv", offset=None),
    }
    if chosen is not None:
        slugs = [each.slug for each in chosen.environments]
        columns = [asked["environment"]] if asked["environment"] in slugs else slugs[:_ENVIRONMENTS]
        is_file = asked["format"] == "csv"
        rows, total = await _rows(visit, chosen.project.id, columns, 0 if is_file else offset, is_file=is_file)
        if is_file:
            return csv_file(
                "who-can-do-what.csv",
                ("kind", "id", "name", *columns, "by"),
                [(row["kind"], row["id"], row["name"], *map(", ".join, row["cells"]), row["by"]) for row in rows],
            )
        data |= {"columns": columns, "rows": rows, "total": total}
        data["environments"] = [("", "every environment"), *((slug, slug) for slug in slugs)]
    return Page(template="access/matrix.html", title="Who can do what", data=data)


async def _rows(
    visit: Visit, project_id: str, columns: Sequence[str], offset: int, *, is_file: bool
) -> tuple[Sequence[dict[str, Any]], int]:
    """The members of a page, and what they may do in each environment."""
    asked = visit.query
    limit = _MOST if is_file else SIZE
    found: list[Sequence[AccessEntry]] = []
    total = 0
    for slug in columns:
        selection = SecretSelection(environment=slug, secret_path=asked.text("path"), secret_name=asked.text("key"))
        page = await access_report.has_access(
            visit.ctx, project_id, selection, contains=(asked.text("q") or "")[:255], offset=offset, limit=limit
        )
        found.append(page.items)
        total = page.total
    wanted = asked["action"]
    rows = []
    for same in zip(*found, strict=True):
        member = same[0].member
        if wanted and not any(wanted in entry.actions for entry in same):
            continue
        rows.append(
            {
                "kind": member.kind,
                "id": member.id,
                "name": member.name,
                "is_usable": member.is_usable,
                "cells": [[action_words(action) for action in entry.actions] for entry in same],
                "by": ", ".join(dict.fromkeys(source for entry in same for source in entry.sources)),
            }
        )
    return rows, total
