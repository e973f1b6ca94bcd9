"""A method that is defined in one file has its form, tile, card, tester and reference without a line in `web/`.

The one file is this one: nothing else in the tree knows of Toy Auth.
"""

import importlib.util
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import pytest

from tests.api import Api, running, sqlite_settings
from tests.databases import placed
from tests.web.operators import begin
from watchword import app
from watchword.methods import registry
from watchword.methods.base import (
    PROOF,
    TRUST,
    WHO,
    AuthMethod,
    Claims,
    Given,
    Guide,
    IdentityId,
    Schema,
    Secret,
    Suggested,
    TextList,
    Verified,
    comma_list,
    proof,
    said,
    text_of,
)


class Config(Schema, frozen=True, kw_only=True):
    """The word of the day, and the towns it may be said in."""

    word: Annotated[
        Secret, said("Word of the day", "Whoever says it comes in.", example="swordfish", group=TRUST, secret=True)
    ]
    allowed_towns: Annotated[
        TextList,
        said("Towns", "Where it may be said.", danger="Empty: anywhere.", example="rome", group=WHO),
    ] = ""


class Login(Schema, frozen=True, kw_only=True):
    """The word, spoken in a town."""

    identity_id: IdentityId
    spoken: Annotated[Secret, proof("Spoken word", "The word of the day.", example="swordfish")]
    town: Annotated[str, said("Town", "Where it is said.", example="rome", group=PROOF)]


async def verify(config: Config, login: Login, given: Given) -> Verified:
    """The word is the right one, and the town is one of those."""
    given.checks.prove(config.word == login.spoken, "word_wrong", "This is not the word")
    towns = comma_list(config.allowed_towns)
    given.checks.compare(
        login.town in towns, "town_not_allowed", "The town is not allowed", expected=towns, presented=login.town
    )
    return Verified()


def suggested(claims: Claims) -> Suggested | None:
    """The town of a token of the guild of toys."""
    return Suggested(settings={"allowedTowns": text_of(claims, "town")}) if claims.get("iss") == "toys" else None


TOY: AuthMethod[Any, Any] = AuthMethod(
    slug="toy-auth",
    wrapper="identityToyAuth",
    title="Toy Auth",
    place="Toy shop",
    where="a spoken word",
    icon="ticket",
    guide=Guide(
        summary=("who says the word logs in", "in {allowedTowns}"),
        obtain="read -rs SPOKEN; TOWN=rome",
        mistakes=("It is said too softly.", "It is yesterday's.", "It is said in Paris."),
        fills=suggested,
    ),
    config=Config,
    login=Login,
    verify=verify,
)


@pytest.fixture
async def toy(tmp_path: Path, migrated_file: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    monkeypatch.setattr(app, "registry", lambda: {**registry(), TOY.slug: TOY})
    async with running(sqlite_settings(placed(migrated_file, tmp_path))) as found:
        yield found


async def test_a_toy_method_has_a_tile_and_a_form_with_its_words(toy: Api) -> None:
    browser, base = await begin(toy)
    page = await browser.get(f"{base}/identities/new?where=toy-auth")
    for text in ("Toy shop", "a spoken word", "Word of the day", "Whoever says it comes in.", WHO, "Empty: anywhere."):
        assert text in page.text, text
    assert "It is yesterday" in page.html and 'placeholder="rome"' in page.html
    made = await browser.submit(
        page,
        f"{base}/identities/new",
        name="jack",
        **{"toy-auth.word": "swordfish", "toy-auth.allowedTowns": "rome"},
    )
    assert made.status == 200 and "read -rs SPOKEN" in made.text and "toy-auth/login" in made.text
    assert "swordfish" not in made.html


async def test_a_toy_method_has_a_card_a_tester_and_a_proposal(toy: Api) -> None:
    identity = await toy.identity()
    await toy.ok(
        "POST",
        f"/api/v1/auth/toy-auth/identities/{identity['id']}",
        {"word": "swordfish", "allowedTowns": "oslo"},
    )
    browser, base = await begin(toy)
    here = f"{base}/identities/{identity['id']}/authentication"
    card = await browser.get(here)
    assert "Who says the word logs in, in oslo." in card.text and "swordfish" not in card.html
    tester = await browser.get(f"{here}/toy-auth/test")
    assert "Spoken word" in tester.text and "read -rs SPOKEN" in tester.text
    tried = await browser.submit(tester, f"{here}/toy-auth/test", **{"login.spoken": "swordfish", "login.town": "rome"})
    assert "Would be refused" in tried.text and "oslo" in tried.text and "rome" in tried.text
    assert "swordfish" not in tried.html


def test_a_toy_method_has_a_section_in_the_reference() -> None:
    spec = importlib.util.spec_from_file_location("docs_tool", Path("tools/docs.py"))
    assert spec is not None and spec.loader is not None
    docs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(docs)
    text = "\n".join(docs.method_section(TOY))
    for words in (
        "## Toy Auth",
        "Who says the word logs in, in `allowedTowns`.",
        "Empty: anywhere.",
        "read -rs SPOKEN",
    ):
        assert words in text, words
