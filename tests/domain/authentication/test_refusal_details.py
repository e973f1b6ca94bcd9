"""How much of a refusal is kept."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword.domain.audit.records import Denial
from watchword.domain.authentication.refusal_details import MOST, fitted, size

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=2_000),
    lambda inner: st.lists(inner, max_size=200) | st.dictionaries(st.text(max_size=300), inner, max_size=50),
    max_leaves=60,
)


def denial(**fields: Any) -> Denial:
    told: dict[str, Any] = {
        "request_id": "req-1",
        "at": 1,
        "method": "jwt-auth",
        "reason": "claim_mismatch",
        "message": "No",
        "facts": {},
        "checks": (),
    }
    return Denial(**told | fields)


def check(name: str, **fields: Any) -> dict[str, object]:
    return {"name": name, "passed": False, **fields}


def test_an_ordinary_story_is_kept_whole() -> None:
    story = denial(
        facts={"expected": ["a"], "presented": "b"},
        checks=(check("audience", expected=["a"], presented="b"),),
        user_agent="curl/8",
    )

    assert story == fitted(story)


def test_a_story_of_120_kilobytes_keeps_its_reason_and_the_names_of_its_checks() -> None:
    claims = {f"claim{i}": "x" * 400 for i in range(100)}
    story = fitted(
        denial(
            facts={"presented": claims},
            checks=(check("signature_invalid"), check("claim_mismatch", presented=claims)),
            user_agent="a" * 60_000,
        )
    )

    assert size(story) <= MOST
    assert ["signature_invalid", "claim_mismatch"] == [one["name"] for one in story.checks]
    assert ("claim_mismatch", "No") == (story.reason, story.message)


@pytest.mark.measures
@given(
    JSON,
    st.lists(
        st.fixed_dictionaries({"name": st.text(max_size=100), "passed": st.booleans(), "presented": JSON}), max_size=40
    ),
    st.text(max_size=5_000),
)
def test_no_story_takes_more(facts: Any, checks: list[dict[str, object]], text: str) -> None:
    story = fitted(
        denial(
            facts={"presented": facts},
            checks=tuple(checks),
            message=text,
            user_agent=text,
            address=text,
            request_id=text,
        )
    )

    assert size(story) <= MOST
    assert "\x00" not in story.message
    msgspec.json.encode(story)
