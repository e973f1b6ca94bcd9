"""Paths of pages, and what is wrong with a form."""

import pytest

from watchword.domain.errors import Forbidden, Invalid, Issue
from watchword.domain.people.records import Organization
from watchword.http.table import table
from watchword.methods import registry
from watchword.web.pages import RESERVED, Faults, base_of, link
from watchword.web.table import page_table


@pytest.mark.parametrize("slug", sorted(RESERVED))
def test_an_organization_that_is_called_like_a_page_is_found_by_its_id(slug: str) -> None:
    organization = Organization(id="0190-id", name="X", slug=slug, created_at=0, updated_at=0)
    assert base_of(organization) == "/0190-id"


def test_every_first_word_of_a_page_is_kept_from_organizations() -> None:
    first = {route.path.split("/")[1] for route in page_table()} - {"", "{organization}"}
    assert first <= RESERVED


def test_every_first_word_of_the_api_is_kept_from_organizations() -> None:
    assert {route.path.split("/")[1] for route in table(registry().values(), None)} <= RESERVED


def test_a_sub_organization_is_found_by_its_id_because_its_slug_is_unique_in_its_parent_only() -> None:
    organization = Organization(
        id="0190-id", name="X", slug="acme", root_org_id="r", parent_org_id="r", created_at=0, updated_at=0
    )
    assert base_of(organization) == "/0190-id"


def test_a_path_holds_what_it_is_given_and_leaves_out_what_is_empty() -> None:
    assert link("/o", "a/b", "c d", q="x&y", none=None, empty="") == "/o/a%2Fb/c%20d?q=x%26y"
    assert link("/") == "/"


def test_a_fault_stands_beside_its_field_and_what_has_none_is_said_last() -> None:
    issues = [
        Issue(code="custom", path=("name",), message="Too long"),
        Issue(code="custom", path=("rules", 0, "action"), message="Unknown"),
        Issue(code="custom", path=("other",), message="Wrong"),
    ]
    faults = Faults(Invalid(issues))
    assert faults["name"] == "Too long" and faults["rules"] == "0.action: Unknown" and faults["good"] == ""
    assert faults.rest == ("other: Wrong",)
    assert Faults(Forbidden("No")).rest == ("No",) and not Faults()
