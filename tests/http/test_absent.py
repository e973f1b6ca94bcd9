"""Features that are left out: their routes say so, and the compatibility page names them all."""

from pathlib import Path

import pytest

from tests.api import Api
from tests.protection.test_routes import ROUTES
from watchword.http.absent import ABSENT, Absent, feature_at

PAGE = Path(__file__).parent.parent.parent / "docs" / "explanation" / "compatibility.md"


@pytest.mark.parametrize("feature", ABSENT, ids=lambda feature: feature.name)
def test_the_compatibility_page_names_a_feature_with_its_routes(feature: Absent) -> None:
    routes = ", ".join(f"`{prefix}`" for prefix in feature.prefixes)

    assert f"| {feature.name} | {routes} | {feature.instead} |" in PAGE.read_text()


def test_no_route_that_is_served_is_said_to_be_left_out() -> None:
    assert [] == [route.path for route in ROUTES if feature_at(route.path) is not None]


def test_a_prefix_ends_at_a_slash() -> None:
    assert feature_at("/api/v1/pki/ca") is feature_at("/api/v1/pki") is not None
    assert feature_at("/api/v1/pkix") is None
    assert feature_at("/") is feature_at("") is feature_at("/api") is None


async def test_a_client_is_told_what_is_left_out_and_what_to_use_instead(api: Api) -> None:
    told = await api.post("/api/v1/dynamic-secrets/leases", {})
    unknown = await api.get("/api/v1/no-such-thing")

    assert (404, 404) == (told.status_code, unknown.status_code)
    assert told.json()["message"].startswith(
        "Route POST:/api/v1/dynamic-secrets/leases not found. Watchword leaves out dynamic secrets: "
    )
    assert "Route GET:/api/v1/no-such-thing not found" == unknown.json()["message"]
