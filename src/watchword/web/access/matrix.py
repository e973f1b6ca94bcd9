"""Who can do what with secrets: everybody beside projects, or beside the environments of one, with what gives it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from watchword.domain.actor import HolderKind
from watchword.services.access import effects
from watchword.services.access.access_report import ACTIONS, SecretSelection
from watchword.services.access.effects import Column, Effect, MatrixPage, MatrixQuery, MatrixRow
from watchword.services.access.scopes import enter_project
from watchword.services.projects import projects
from watchword.services.projects.projects import ProjectDetails
from watchword.web.access.rules_form import action_words
from watchword.web.access.shown import STEP_WORDS, source_line, source_text, step
from watchword.web.exports import csv_file
from watchword.web.pages import Answer, Page, Pages, Redirect, Visit
from watchword.web.parts import or_none

pages = Pages()
SIZE: Final = 50  # rows of a page
_COLUMNS: Final = 6  # of a page
_MOST_ROWS: Final = 10_000  # of a file
_KINDS: Final[Mapping[str, HolderKind]] = {"identities": "identity", "people": "user"}
_VERBS: Final = {
    "read": "readValue",
    "see": "describeSecret",
    "list": "describeSecret",
    "describe": "describeSecret",
    "write": "edit",
    "edit": "edit",
    "change": "edit",
    "create": "create",
    "add": "create",
    "delete": "delete",
    "remove": "delete",
}
_FILLING: Final = frozenset({"who", "can", "may", "in", "of", "the", "secret", "secrets", "values", "and", "?"})


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    """A column as it is shown: a project, or an environment of one."""

    text: str
    to: str
    details: ProjectDetails
    column: Column


@pages.get("/{organization}/access")
async def matrix(visit: Visit) -> Answer:
    """Everybody beside the projects, or the environments of one: what each may do, and what gives it."""
    ctx, asked = visit.ctx, visit.query
    mine = sorted(await or_none(projects.mine(ctx)) or (), key=lambda each: each.project.name.lower())
    if asked.text("ask"):
        return Redirect(to=visit.link("access", **_understood(asked["ask"][:200], mine, asked["show"])))
    may_see = set(await effects.readable(ctx, [each.project.id for each in mine]))
    joined = [each for each in mine if each.project.id in may_see]
    chosen = next((each for each in joined if asked["project"] in (each.project.id, each.project.slug)), None)
    heads, count = _heads(visit, joined, chosen)
    kind = _KINDS.get(asked["show"], "identity")
    action = asked["action"] if asked["action"] in ACTIONS else None
    query = MatrixQuery(
        kind=kind,
        columns=[head.column for head in heads],
        contains=(asked.text("q") or "")[:255],
        after=(asked["after"], asked["after_id"]) if asked["after_id"] else None,
        can=action,
        inside=chosen is not None,
        limit=SIZE,
    )
    if asked["format"] == "csv" and heads:
        return await _file(visit, query, heads)
    page = await effects.matrix(ctx, query) if heads else MatrixPage(rows=(), after=None, looked_at=0)
    opens = visit.again(cell="")
    data = {
        "projects": [("", "every project"), *((each.project.id, each.project.name) for each in joined)],
        "chosen": chosen,
        "asked": asked,
        "kinds": [(slug, visit.again(show=slug, after=None, after_id=None, cell=None)) for slug in _KINDS],
        "kind": kind,
        "actions": [("", "do anything"), *((name, action_words(name)) for name in ACTIONS)],
        "environments": [("", "any environment"), *((slug, slug) for slug in _slugs(joined, chosen))],
        "heads": heads,
        "columns_before": max(0, _from(visit) - _COLUMNS) if _from(visit) else None,
        "columns_after": _from(visit) + _COLUMNS if count > _from(visit) + _COLUMNS else None,
        "rows": [_shown(row, opens, asked["cell"]) for row in page.rows],
        "steps": STEP_WORDS,
        "is_filtered": action is not None or bool(query.contains),
        "looked_at": page.looked_at,
        "further": visit.again(after=page.after[0], after_id=page.after[1], cell=None) if page.after else "",
        "first": visit.again(after=None, after_id=None, cell=None) if query.after else "",
        "opened": await _opened(visit, page, heads),
        "close": visit.again(cell=None),
        "csv": visit.again(format="csv", after=None, after_id=None, cell=None),
        "is_in_project": bool(mine),
        "sentence": _sentence(kind, action, asked.text("key"), asked.text("path"), asked.text("environment")),
    }
    return Page(template="access/matrix.html", title="Who can do what", data=data)


def _from(visit: Visit) -> int:
    text = visit.query["from"]
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0


def _slugs(joined: Sequence[ProjectDetails], chosen: ProjectDetails | None) -> Sequence[str]:
    of = [chosen] if chosen is not None else joined
    return list(dict.fromkeys(environment.slug for each in of for environment in each.environments))[:100]


def _heads(
    visit: Visit, joined: Sequence[ProjectDetails], chosen: ProjectDetails | None
) -> tuple[Sequence[_Head], int]:
    """The columns of a page, and how many there are."""
    asked = visit.query
    environment, path, key = asked.text("environment"), asked.text("path"), asked.text("key")
    heads = []
    if chosen is not None:
        slugs = [each.slug for each in chosen.environments]
        for slug in [environment] if environment in slugs else slugs:
            selection = SecretSelection(environment=slug, secret_path=path, secret_name=key)
            column = Column(project_id=chosen.project.id, selection=selection)
            to = visit.again(environment=slug if environment is None else None, after=None, after_id=None, cell=None)
            heads.append(_Head(text=slug or "", to=to, details=chosen, column=column))
    else:
        for each in joined:
            if environment is None or environment in [one.slug for one in each.environments]:
                selection = SecretSelection(environment=environment, secret_path=path, secret_name=key)
                column = Column(project_id=each.project.id, selection=selection)
                to = visit.again(project=each.project.id, after=None, after_id=None, cell=None, **{"from": None})
                heads.append(_Head(text=each.project.name, to=to, details=each, column=column))
    begin = _from(visit)
    return heads[begin : begin + _COLUMNS], len(heads)


def _understood(text: str, mine: Sequence[ProjectDetails], show: str) -> dict[str, str]:
    """The filters that a question such as `read prod DATABASE_URL in billing` means."""
    wanted = {"show": show}
    environments = {one.slug for each in mine for one in each.environments}
    named = {name.lower(): each.project.id for each in mine for name in (each.project.name, each.project.slug)}
    for word in text.replace("?", " ").split():
        low = word.lower()
        if low in _VERBS and "action" not in wanted:
            wanted["action"] = _VERBS[low]
        elif word.startswith("/"):
            wanted["path"] = word
        elif low in environments and "environment" not in wanted:
            wanted["environment"] = low
        elif low in named and "project" not in wanted:
            wanted["project"] = named[low]
        elif low not in _FILLING:
            wanted["key"] = word
    return wanted


def _sentence(kind: HolderKind, action: str | None, key: str | None, path: str | None, environment: str | None) -> str:
    """What the page answers, in words."""
    who = "Machine identities" if kind == "identity" else "People"
    what = f"can {action_words(action)}" if action else "and what they can do with"
    return " ".join(
        filter(None, (who, what, key or "secrets", path and f"in {path}", environment and f"of {environment}"))
    )


def _shown(row: MatrixRow, opens: str, opened: str) -> dict[str, Any]:
    """A row as it is shown; `opens` is the address of the page up to the name of the cell that is opened."""
    names = [f"{row.member.id}.{number}" for number in range(len(row.cells))]
    cells = [
        {
            "step": None if effect is None else step(effect),
            "to": f"{opens}{name}#sources",
            "is_open": opened == name,
        }
        for name, effect in zip(names, row.cells, strict=True)
    ]
    return {"member": row.member, "cells": cells}


async def _opened(visit: Visit, page: MatrixPage, heads: Sequence[_Head]) -> dict[str, Any] | None:
    """The cell that is opened: what is allowed there, by what, and where it is changed."""
    id, _, number = visit.query["cell"].rpartition(".")
    place = int(number) if number.isascii() and number.isdigit() and len(number) < 4 else -1
    row = next((row for row in page.rows if row.member.id == id), None)
    if row is None or not 0 <= place < len(heads):
        return None
    effect, head = row.cells[place], heads[place]
    if effect is None:
        return None
    ctx, member, project = visit.ctx, row.member, head.details.project
    scope = await enter_project(ctx, project.id)
    is_identity = member.kind == "identity"
    facts = {"identityId": member.id} if is_identity else {}
    may_edit = ctx.may(scope, "edit", "identity" if is_identity else "member", **facts)
    environment = head.column.selection.environment
    return {
        "member": member,
        "place": f"{project.name}, {environment}" if environment else project.name,
        "step": step(effect),
        "actions": [(action_words(action), effect.of(0).get(action, ""), _by(effect, action)) for action in ACTIONS],
        "sources": [{"text": source_text(given.source), "source": given.source} for given in effect.given],
        "change": _change(visit, row, project.slug) if may_edit else "",
        "access": visit.link("identities", member.id, "access") if is_identity else "",
        "is_stopped": effect.is_stopped,
    }


def _change(visit: Visit, row: MatrixRow, project: str) -> str:
    """The page where the roles of somebody in a project are changed."""
    member = row.member
    if member.kind == "identity":
        return visit.link("p", project, "access", "identities", member.id)
    return visit.link("p", project, "access", "people", q=member.name)


def _by(effect: Effect, action: str) -> Sequence[int]:
    return [number for number, given in enumerate(effect.given, 1) if (0, action) in given.gives]


async def _file(visit: Visit, query: MatrixQuery, heads: Sequence[_Head]) -> Answer:
    """The rows as CSV, the first `_MOST_ROWS`: the actions of each column, and what gives them."""
    rows: list[Sequence[str]] = []
    query = msgspec.structs.replace(query, after=None, limit=500)
    while len(rows) < _MOST_ROWS:
        page = await effects.matrix(visit.ctx, query)
        for row in page.rows:
            cells = [text for effect in row.cells for text in _written(effect)]
            rows.append((row.member.kind, row.member.id, row.member.name, *cells))
        if page.after is None:
            break
        query = msgspec.structs.replace(query, after=page.after)
    header = [text for head in heads for text in (head.text, f"{head.text}: by")]
    return csv_file("who-can-do-what.csv", ("kind", "id", "name", *header), rows[:_MOST_ROWS])


def _written(effect: Effect | None) -> tuple[str, str]:
    """What an effect allows, and what gives it, as two cells of a file."""
    if effect is None:
        return "", ""
    extents = effect.of(0)
    actions = [
        f"{action_words(action)}{' (some)' if extents[action] == 'some' else ''}"
        for action in ACTIONS
        if action in extents
    ]
    return ", ".join(actions), "; ".join(source_line(one.source) for one in effect.given)
