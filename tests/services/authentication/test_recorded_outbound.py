"""The outbound calls of one login: the same question is asked once."""

import msgspec
import pytest

from watchword.domain.outbound import Admits, LdapEntry, LdapQuery, OutboundError
from watchword.domain.secret import Secret
from watchword.services.authentication.recorded_outbound import RecordedOutbound

ADA = LdapQuery(
    url="ldaps://directory.example",
    ca="",
    bind_dn="cn=search",
    bind_password=Secret("the service account's"),
    base="dc=example",
    filter_template="(uid={{username}})",
    username="ada",
    password=Secret("ada's"),
)
OTHERS = {
    "url": "ldaps://other.example",
    "ca": "-----BEGIN CERTIFICATE-----",
    "bind_dn": "cn=other",
    "bind_password": Secret("another"),
    "base": "dc=other",
    "filter_template": "(cn={{username}})",
    "username": "bob",
    "password": Secret("bob's"),
}


class Directory:
    """Opens an entry called after the user name; fails for a user name `down`."""

    def __init__(self) -> None:
        self.asked: list[LdapQuery] = []

    async def ldap(self, query: LdapQuery, *, admits: Admits | None = None) -> LdapEntry | None:
        self.asked.append(query)
        if admits is not None:
            await admits(query.username)
        if query.username == "down":
            raise OutboundError("the directory cannot be reached")
        return LdapEntry(dn=query.username, attributes={})


async def test_a_directory_is_asked_once_for_the_same_question_and_tells_the_entry_once() -> None:
    directory, told = Directory(), []

    async def admits(dn: str) -> None:
        told.append(dn)

    outbound = RecordedOutbound(directory)  # type: ignore[arg-type]
    first = await outbound.ldap(ADA, admits=admits)
    again = await outbound.ldap(msgspec.structs.replace(ADA, password=Secret("ada's")), admits=admits)

    assert first is again
    assert ([ADA], ["ada"]) == (directory.asked, told)


@pytest.mark.parametrize("field", LdapQuery.__struct_fields__)
async def test_a_question_that_differs_in_anything_is_another_question(field: str) -> None:
    directory = Directory()
    outbound = RecordedOutbound(directory)  # type: ignore[arg-type]
    await outbound.ldap(ADA)
    other = msgspec.structs.replace(ADA, **{field: OTHERS[field]})
    await outbound.ldap(other)

    assert [ADA, other] == directory.asked


async def test_a_directory_that_failed_is_not_asked_again() -> None:
    directory = Directory()
    outbound = RecordedOutbound(directory)  # type: ignore[arg-type]
    down = msgspec.structs.replace(ADA, username="down")
    for _ in range(2):
        with pytest.raises(OutboundError, match="cannot be reached"):
            await outbound.ldap(down)

    assert [down] == directory.asked


def test_a_question_to_a_directory_shows_no_password() -> None:
    assert "ada's" not in repr(ADA)
    assert "the service account's" not in repr(ADA)
