"""Hosts of clouds: what an operator may add, and what is refused when the server starts."""

import pytest

from watchword.domain.authentication.cloud_hosts import AZURE_CLOUDS, AzureCloud, azure_clouds, is_oracle, oci_hosts


def test_an_operators_cloud_stands_beside_the_known_ones() -> None:
    clouds = azure_clouds(["Lab=Login.lab.example:sts.lab.example"])

    assert clouds == {**AZURE_CLOUDS, "lab": AzureCloud(("login.lab.example",), "sts.lab.example")}


@pytest.mark.parametrize(
    "written",
    [
        "lab",
        "lab=login.lab.example",
        "lab=https://login.lab.example:sts.lab.example",
        "lab=login.lab.example:8443",
        "lab=login.lab.example:sts.lab.example/x",
        "=login.lab.example:sts.lab.example",
        "l b=login.lab.example:sts.lab.example",
        "public=login.lab.example:sts.lab.example",
        "lab=10.0.0.1:sts.lab.example",
    ],
)
def test_what_is_no_cloud_or_changes_a_known_one_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"is not name=authority:issuer|something else"):
        azure_clouds([written])


def test_a_host_of_oracle_is_one_of_its_public_realm_or_one_that_the_operator_names() -> None:
    more = oci_hosts(["identity.us-langley-1.oraclegovcloud.com"])

    assert is_oracle("identity.eu-frankfurt-1.oraclecloud.com", frozenset())
    assert is_oracle("identity.us-langley-1.oraclegovcloud.com", more)
    assert not is_oracle("identity.us-langley-1.oraclegovcloud.com", frozenset())
    for host in ("identity.x.oraclecloud.com.evil.example", "evil.example", "identity..oraclecloud.com"):
        assert not is_oracle(host, more)
    with pytest.raises(ValueError, match="is not a host name"):
        oci_hosts(["https://identity.example.com"])
