"""The OpenAPI document: valid, complete, and shown by a page that needs nothing from elsewhere."""

import re
from typing import Any

import pytest
from jsonschema.validators import SPECIFICATIONS, Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from openapi_spec_validator.schemas import schema_v31
from referencing.jsonschema import DRAFT202012

from tests.api import Api
from watchword.app import Server

PAGES = ("/api/docs", "/api/docs/start.js", "/api/docs/swagger-ui.css", "/api/docs/swagger-ui-bundle.js")

OPENAPI = dict(schema_v31)
# Left to itself the validator goes through all these specifications again for every anchor that it follows, thousands
# of times.
KNOWN = SPECIFICATIONS.with_resource(OPENAPI["$id"], DRAFT202012.create_resource(OPENAPI)).crawl()


class Validator(OpenAPIV31SpecValidator):
    schema_validator = Draft202012Validator(
        OPENAPI, registry=KNOWN, format_checker=OpenAPIV31SpecValidator.schema_validator.format_checker
    )


@pytest.fixture
async def document(api: Api) -> Any:
    return await api.ok("GET", "/api/docs/openapi.json", token=None)


async def test_the_document_is_valid_openapi(document: Any) -> None:
    assert [] == [f"{list(error.absolute_path)}: {error.message[:300]}" for error in Validator(document).iter_errors()]


def test_a_document_with_faults_is_not_valid() -> None:
    get = {"responses": {"200": {"description": "", "nonsense": 1}}}
    faulty = {
        "openapi": "3.1.0",
        "info": {"title": "t", "version": "1"},
        "paths": {"/a": {"get": get}},
        "components": {"schemas": {"A": {"type": "nonsense"}}},
    }

    assert [["paths", "/a", "get", "responses", "200"], ["type"]] == [
        list(error.absolute_path) for error in Validator(faulty).iter_errors()
    ]


async def test_every_route_is_in_the_document_with_a_summary(api: Api, document: Any) -> None:
    routes = {(route.method.lower(), route.path) for route in Server(api.runtime).routes}
    written = {(method, path) for path, methods in document["paths"].items() for method in methods}

    assert routes == written
    assert [] == [
        f"{method} {path}"
        for path, methods in document["paths"].items()
        for method, one in methods.items()
        if not one["summary"]
    ]


async def test_every_operation_has_a_name_of_its_own(document: Any) -> None:
    names = [one["operationId"] for methods in document["paths"].values() for one in methods.values()]

    assert sorted(set(names)) == sorted(names)


async def test_a_route_that_needs_a_credential_says_so(document: Any) -> None:
    assert [{"bearer": []}] == document["paths"]["/api/v1/identities"]["post"]["security"]
    assert [] == document["paths"]["/api/v1/auth/universal-auth/login"]["post"]["security"]


async def test_logins_take_forms_as_well(document: Any) -> None:
    content = document["paths"]["/api/v1/auth/universal-auth/login"]["post"]["requestBody"]["content"]

    assert {"application/json", "application/x-www-form-urlencoded"} == set(content)


async def test_bootstrap_takes_json_and_says_how_it_refuses(document: Any) -> None:
    operation = document["paths"]["/api/v1/admin/bootstrap"]["post"]

    assert {"application/json", "application/x-www-form-urlencoded"} == set(operation["requestBody"]["content"])
    assert {"200", "400", "401", "404", "422"} == set(operation["responses"])


async def test_a_route_with_an_id_says_that_it_refuses_what_is_none(document: Any) -> None:
    without = [
        path
        for path, methods in document["paths"].items()
        for one in methods.values()
        if any(parameter["in"] == "path" for parameter in one.get("parameters", ())) and "422" not in one["responses"]
    ]

    assert [] == without


def test_every_pattern_is_also_said_in_words(document: Any) -> None:
    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            if isinstance(value.get("pattern"), str):
                yield value
            for one in value.values():
                yield from walk(one)
        elif isinstance(value, list):
            for one in value:
                yield from walk(one)

    found = list(walk(document))

    assert found
    assert [] == [one for one in found if not one.get("description")]


async def test_a_change_requires_no_field(document: Any) -> None:
    path = document["paths"]["/api/v1/auth/universal-auth/identities/{identity_id}"]

    assert "required" not in path["patch"]["requestBody"]["content"]["application/json"]["schema"]


async def test_no_component_is_named_by_a_whole_module(document: Any) -> None:
    assert [] == [name for name in document["components"]["schemas"] if name.startswith("watchword.")]


@pytest.mark.parametrize("path", PAGES)
async def test_the_pages_load_nothing_from_elsewhere(api: Api, path: str) -> None:
    reply = await api.get(path, token=None)

    assert 200 == reply.status_code
    assert "script-src 'self';" in reply.headers["content-security-policy"]
    if path in ("/api/docs", "/api/docs/start.js"):
        assert [] == re.findall(r"https?://", reply.text)
        assert [] == re.findall(r"<script>|\son\w+=", reply.text)
