"""Nothing that a request may say is accepted and ignored: each declared field is read, or stands here with a reason."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest

from tests.protection.declared import SOURCE, key_of, source, structs_in
from tests.protection.test_routes import ROUTES
from watchword.http.routing import Incoming
from watchword.methods import METHODS

_CLIENT = ("client_id", "client_secret", "client_assertion", "client_assertion_type")

# What is read in a way that annotations do not show: "class field" -> where.
READ_OTHERWISE = {
    "Login identity_id": "methods/base.py, `_by_identity`, for all methods",
    "universal:Login client_id": "methods/universal.py, `locate`",
    "universal:Login client_secret": "methods/universal.py, `secret_of`",
    "universal:Config client_id": "the locator of the method, made by the server",
    "alicloud:Login version": "methods/alicloud.py, all signed fields by their names",
    "alicloud:Login signature": "methods/alicloud.py, all signed fields by their names",
    "wait_version": "http/edge.py, before the handler",
    "wait_seconds": "http/edge.py, before the handler",
    "UpdateIdentity expires_at": "services/identities/identities.py, all columns by their names",
    "UpdateIdentity owner": "services/identities/identities.py, all columns by their names",
    "UpdateProjectIdentity name": "services/identities/project_owned.py, all fields by their names",
    "UpdateProjectIdentity has_delete_protection": "services/identities/project_owned.py, all fields by their names",
    "UpdateProjectIdentity metadata": "services/identities/project_owned.py, all fields by their names",
    "LabelSelector match_labels": "domain/authentication/kubernetes.py, `LabelSelector.admits`",
    "LabelSelector match_expressions": "domain/authentication/kubernetes.py, `LabelSelector.admits`",
    "Requirement key": "domain/authentication/kubernetes.py, `Requirement`",
    "Requirement operator": "domain/authentication/kubernetes.py, `Requirement`",
    **{
        f"{body} {field}": "http/authentication/oauth.py, fields of a form by their names"
        for body, fields in {
            "TokenRequest": ("grant_type", "scope", *_CLIENT),
            "TokenQuestion": ("token", *_CLIENT),
        }.items()
        for field in fields
    },
    "Requirement values": "domain/authentication/kubernetes.py, `Requirement`",
}

# What is taken and changes nothing, because a client of ours sends it; each has its words on the compatibility page.
WITHOUT_EFFECT = {
    "RoleEntry id": "`roles[].id`",
    "RoleEntry custom_role_id": "`roles[].customRoleId`",
    "RoleEntry custom_role_name": "`roles[].customRoleName`",
    "RoleEntry custom_role_slug": "`roles[].customRoleSlug`",
    "CreateClientSecret identity_id": "`identityId` of a new client secret",
    "Verify email": "`email` of a second factor",
    "TokenQuestion token_type_hint": "`token_type_hint`",
    "Claim domain": "`domain` of a bootstrap",
}


def _declared() -> Iterator[tuple[type[msgspec.Struct], tuple[str, ...], str]]:
    """Each struct of a request, what the handler takes it for, and where."""
    for route in ROUTES:
        asked = get_type_hints(route.handler)
        body = None if route.body is Incoming else route.body  # the request as it came, which declares nothing
        for name, kind in (("body", body), ("query", route.query), ("body", route.body_for)):
            for struct in structs_in(kind):
                keys = [key_of(struct)]
                taken = asked.get(name)
                if struct is kind and isinstance(taken, type) and key_of(taken) in source().fields:
                    keys.append(key_of(taken))
                if keys[0] in source().fields:  # the others are made of those of methods
                    yield struct, tuple(keys), f"{route.method} {route.path}"
    for method in METHODS:
        for kind in (method.config, method.login):
            for struct in structs_in(kind):
                yield struct, (key_of(struct),), method.slug


def _names(struct: type[msgspec.Struct], field: str) -> set[str]:
    module = struct.__module__.rpartition(".")[2]
    return {field, f"{struct.__name__} {field}", f"{module}:{struct.__name__} {field}"}


def _one_value(struct: type[msgspec.Struct], field: str) -> bool:
    """Whether only one value is accepted, so that there is nothing to read."""
    kind = next(one.type for one in msgspec.structs.fields(struct) if one.name == field)
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    return kind is type(None) or (get_origin(kind) is Literal and len(get_args(kind)) == 1)


def test_every_field_that_a_request_may_have_is_read_or_has_a_reason() -> None:
    listed, used = READ_OTHERWISE.keys() | WITHOUT_EFFECT.keys(), set[str]()
    ignored = set()
    for struct, keys, where in _declared():
        for field in set(struct.__struct_fields__) - source().read_of(*keys):
            names = _names(struct, field)
            used |= names & listed
            if not names & listed and not _one_value(struct, field):
                ignored.add(f"{struct.__name__}.{field}: {where}")
    assert not ignored, "Accepted and ignored: carry it out, or refuse it with a 4xx that names it"
    assert used == listed, "These have no need of a reason any more"


def test_what_is_taken_without_effect_is_told_on_the_compatibility_page() -> None:
    page = (SOURCE.parent.parent / "docs/explanation/compatibility.md").read_text()
    told = next(line for line in page.splitlines() if line.startswith("| what is taken and changes nothing"))
    assert not [words for words in WITHOUT_EFFECT.values() if words not in told]


def test_the_search_tells_a_field_that_is_read_from_one_that_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "services"
    folder.mkdir()
    (folder / "act.py").write_text(
        "class Given:\n    read: str\n    through: str\n    lost: str\n"
        "    @property\n    def used(self) -> str:\n        return self.through\n"
        "    @property\n    def unused(self) -> str:\n        return self.lost\n"
        "class Other:\n    lost: str\n"
        "def act(given: list[Given], other: Other) -> Any:\n"
        "    return [one.read + one.used for one in given], other.lost\n"
    )
    monkeypatch.setattr("tests.protection.declared.SOURCE", tmp_path)
    found: Any = type(source())()
    assert found.read_of("watchword.services.act:Given") == {"read", "used", "through"}
