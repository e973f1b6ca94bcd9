"""Paste a file of secrets into a folder after a look at what it changes, and export a folder as a file."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

import msgspec

from watchword.domain.errors import Conflict, Invalid, Refusal
from watchword.domain.secrets.formats import Format, Item
from watchword.domain.secrets.references import Address
from watchword.domain.secrets.texts import MAX_BATCH
from watchword.services.projects import locations
from watchword.services.secrets import files, relations, rights, writing
from watchword.services.secrets.reading import SecretListRequest
from watchword.services.secrets.writing import Removal, SecretChange, Target
from watchword.web.console import ProofWanted, require_proof
from watchword.web.forms import Form
from watchword.web.pages import MOST_PASTED, Answer, Download, Faults, Page, Pages, Redirect, Visit
from watchword.web.projects import place, secrets, texts
from watchword.web.projects.adding import REFUSALS, environments_to_write
from watchword.web.projects.place import Place

pages = Pages()
FORMATS: Final = get_args(Format)
_MEDIA: Final = {"dotenv": "text/plain", "json": "application/json", "yaml": "application/yaml", "csv": "text/csv"}
_ENDINGS: Final = {"dotenv": "env", "json": "json", "yaml": "yaml", "csv": "csv"}
_WORDS: Final = (("new", "ok"), ("changed", "warn"), ("may change", "warn"), ("removed", "bad"), ("same", ""))


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What a file changes in one environment: a word and a tone for each key, and how many of each."""

    environment: str
    lines: Sequence[tuple[str, str, str]]  # key, word, tone
    counts: Sequence[tuple[str, int, str]]  # word, how many, tone
    writes: Sequence[tuple[str, int]]  # key, and the version that it is written on top of; 0 for a new one
    removals: Sequence[tuple[str, int]] = ()  # key and version


@pages.get("/{organization}/p/{project}/paste")
async def ask(visit: Visit, project: str) -> Answer:
    """The form for a file."""
    return await _page(visit, await place.find(visit, project), visit.query, (), None)


async def _page(
    visit: Visit, found: Place, form: Form, differences: Sequence[Difference], refusal: Refusal | None, note: str = ""
) -> Page:
    path = locations.normal_path(form.text("path") or "/", "path")
    listed = await environments_to_write(visit, found, path)
    writable = [item["slug"] for item in listed if not item["why"]]
    chosen = set(form.all("environment")) or set(writable[:1])
    data: dict[str, Any] = {
        "place": found,
        "path": path,
        "crumbs": secrets.crumbs(found, path),
        "back": found.link(path=path),
        "environments": [{**item, "is_chosen": item["slug"] in chosen and not item["why"]} for item in listed],
        "content": texts.unified(form["content"]),
        "format": form["format"] or "dotenv",
        "formats": [(name, ".env" if name == "dotenv" else name.upper()) for name in FORMATS],
        "differences": differences,
        "writes": sum(len(item.writes) for item in differences),
        "removals": sum(len(item.removals) for item in differences),
        "removes": form["remove"] == "true",
        "referred_by": await _referring(visit, found, path, differences),
        "seen": _seen(form, differences) if differences else "",
        "note": note,
        "faults": Faults(refusal),
    }
    return Page(
        template="projects/paste.html",
        title=f"Paste a file into {found.project.name}",
        data=data,
        status=refusal.status if refusal else 409 if note else 200,
        holds_secrets=visit.method == "POST",
    )


def _seen(form: Form, differences: Sequence[Difference]) -> str:
    """A hash of what the preview showed: the text, and what would be written on top of which versions."""
    shown = [
        texts.unified(form["content"]),
        [(item.environment, list(item.writes), list(item.removals)) for item in differences],
    ]
    return hashlib.sha256(msgspec.json.encode(shown)).hexdigest()


@pages.post("/{organization}/p/{project}/paste", most=MOST_PASTED * 4)
async def paste(visit: Visit, project: str) -> Answer:
    """Show what a file changes; once that was seen, write it: all of it, or nothing."""
    found = await place.find(visit, project)
    form = visit.form
    differences: Sequence[Difference] = ()
    try:
        path = locations.normal_path(form.text("path") or "/", "path")
        items = await _items(form)
        slugs = list(dict.fromkeys(form.all("environment")))
        if not slugs:
            raise Invalid.of("environment", "Choose at least one environment")
        whys = {item["slug"]: item["why"] for item in await environments_to_write(visit, found, path)}
        if closed := [slug for slug in slugs if whys.get(slug)]:
            raise Invalid.of("environment", f"{closed[0]}: {whys[closed[0]]}")
        removes = form["remove"] == "true"
        differences = [await _difference(visit, found, slug, path, items, removes=removes) for slug in slugs]
        if form["act"] != "write":
            return await _page(visit, found, form, differences, None)
        if form["seen"] != _seen(form, differences):
            note = "The file, or what is in the folder, has changed since you looked: look at this and write again"
            return await _page(visit, found, form, differences, None, note)
        if any(item.removals for item in differences):
            if form["confirm"].strip() != found.project.slug:
                raise Invalid.of("confirm", f"Type {found.project.slug} to remove keys: nothing was written")
            require_proof(visit)
        count, gone = await _write(visit, found, path, items, differences)
    except ProofWanted:
        raise
    except Conflict as refusal:
        return await _page(visit, found, form, (), refusal)
    except REFUSALS as refusal:
        return await _page(visit, found, form, differences, refusal)
    said = f"{count} {'value was' if count == 1 else 'values were'} written"
    said += f", and {gone} removed" if gone else ""
    return Redirect(to=found.link(path=path), notice=said)


async def _items(form: Form) -> tuple[Item, ...]:
    """The items of the file. Raises Invalid."""
    name = form["format"] or "dotenv"
    if name not in FORMATS:
        raise Invalid.of("format", f"One of {', '.join(FORMATS)}")
    if not form["content"].strip():
        raise Invalid.of("content", "Paste a file first")
    items = await files.read(name, texts.unified(form["content"]))  # type: ignore[arg-type]  # it is one of them
    if not items:
        raise Invalid.of("content", "There is no key in it: a line such as LOG_LEVEL=info")
    if len(items) > MAX_BATCH:
        raise Invalid.of("content", f"At most {MAX_BATCH} keys at once: the command `watchword` takes more")
    return items


async def _referring(
    visit: Visit, found: Place, path: str, differences: Sequence[Difference]
) -> list[tuple[Address, Sequence[Address]]]:
    """What refers to the secrets that would be removed and is not removed with them."""
    gone = {Address(item.environment, path, key) for item in differences for key, _ in item.removals}
    if not gone:
        return []
    ties = await relations.referring_to(visit.ctx, found.project.id, gone)
    left = {address: [by for by in referring if by not in gone] for address, referring in ties.items()}
    return sorted((address, referring) for address, referring in left.items() if referring)


async def _difference(
    visit: Visit, found: Place, slug: str, path: str, items: Sequence[Item], *, removes: bool
) -> Difference:
    target = Target(project_id=found.project.id, environment=slug, path=path)
    compared = await files.compare(visit.ctx, target, items, with_absent=removes)
    if len(compared.absent) > MAX_BATCH:
        raise Invalid.of("remove", f"{slug} has more than {MAX_BATCH} keys that are not in the file: remove them first")
    parts = (compared.created, compared.updated, compared.unknown, compared.absent, compared.unchanged)
    return Difference(
        environment=slug,
        lines=[(key, word, tone) for (word, tone), keys in zip(_WORDS, parts, strict=True) for key in keys],
        counts=[(word, len(keys), tone) for (word, tone), keys in zip(_WORDS, parts, strict=True) if keys],
        writes=[
            (key, compared.versions.get(key, 0)) for key in (*compared.created, *compared.updated, *compared.unknown)
        ],
        removals=[(key, compared.versions[key]) for key in compared.absent],
    )


async def _write(
    visit: Visit, found: Place, path: str, items: Sequence[Item], differences: Sequence[Difference]
) -> tuple[int, int]:
    """Write and remove what the differences say in one unit; how many values that were of each. Raises Conflict."""
    by_key: Mapping[str, Item] = {item.key: item for item in items}
    changes = [
        SecretChange(
            name=key,
            environment=item.environment,
            value=by_key[key].value,
            comment=by_key[key].comment or msgspec.UNSET,
            if_version=version,
        )
        for item in differences
        for key, version in item.writes
    ]
    removed = [
        Removal(name=key, environment=item.environment, if_version=version)
        for item in differences
        for key, version in item.removals
    ]
    target = Target(project_id=found.project.id, environment=differences[0].environment, path=path)
    if changes:
        await writing.change(visit.ctx, target, changes, mode="upsert", is_batch=True, removed=removed)
    elif removed:
        await writing.remove(visit.ctx, target, removed, is_batch=True)
    return len(changes), len(removed)


@pages.get("/{organization}/p/{project}/export")
async def ask_for_export(visit: Visit, project: str) -> Answer:
    """The choice of environment and format of an export."""
    return await _export_page(visit, await place.find(visit, project), visit.query, None)


async def _export_page(visit: Visit, found: Place, form: Form, refusal: Refusal | None) -> Page:
    path = locations.normal_path(form.text("path") or "/", "path")
    known = await locations.environments(visit.ctx, found.project.id)
    readable = [
        environment
        for environment in known
        if found.scope.ability.could(rights.READ, rights.SUBJECT, {"environment": environment.slug, "secretPath": path})
    ]
    data = {
        "place": found,
        "path": path,
        "crumbs": secrets.crumbs(found, path),
        "back": found.link(path=path),
        "environments": [(environment.slug, environment.name) for environment in readable],
        "formats": [(name, ".env" if name == "dotenv" else name.upper()) for name in FORMATS],
        "form": form,
        "faults": Faults(refusal),
    }
    status = refusal.status if refusal else 200
    return Page(template="projects/export.html", title=f"Export {found.project.name}", data=data, status=status)


@pages.post("/{organization}/p/{project}/export")
async def export(visit: Visit, project: str) -> Answer:
    """A folder's secrets with their values as a file. It is in the audit log, and needs the password again."""
    found = await place.find(visit, project)
    form = visit.form
    require_proof(visit)
    name = form["format"] or "dotenv"
    try:
        if name not in FORMATS:
            raise Invalid.of("format", f"One of {', '.join(FORMATS)}")
        path = locations.normal_path(form.text("path") or "/", "path")
        wanted = SecretListRequest(
            project_id=found.project.id,
            environment=form["environment"],
            path=path,
            expand=form["expand"] == "true",
            with_imports=form["imports"] == "true",
        )
        text = await files.export(visit.ctx, wanted, name)  # type: ignore[arg-type]  # it is one of them
    except REFUSALS as refusal:
        return await _export_page(visit, found, form, refusal)
    parts = [found.project.slug, form["environment"], *(part for part in path.split("/") if part)]
    return Download(
        body=text.encode(),
        media_type=f"{_MEDIA[name]}; charset=utf-8",
        name=f"{'-'.join(parts)[:120]}.{_ENDINGS[name]}",
    )
