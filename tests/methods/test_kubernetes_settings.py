"""What Kubernetes Auth suggests for the token of a service account."""

from typing import Any

from watchword.methods.kubernetes_settings import suggested

CLAIMS: dict[str, Any] = {
    "iss": "https://cluster.test",
    "aud": ["https://us.test"],
    "sub": "system:serviceaccount:shop:deployer",
    "kubernetes.io": {"namespace": "shop"},
}


def test_the_account_and_its_audience_are_suggested() -> None:
    found = suggested(CLAIMS)
    assert found is not None and found.settings == {
        "allowedNamespaces": "shop",
        "allowedNames": "deployer",
        "allowedAudience": "https://us.test",
        "jwksIssuer": "https://cluster.test",
    }


def test_the_audience_of_the_api_server_is_not_suggested() -> None:
    for audience in (["https://cluster.test"], ["https://kubernetes.default.svc"], "https://kubernetes.default.svc"):
        found = suggested(CLAIMS | {"aud": audience})
        assert found is not None and found.settings["allowedAudience"] == "" and len(found.notes) == 2


def test_a_token_of_somebody_else_is_not_of_kubernetes() -> None:
    assert suggested({"iss": "https://cluster.test", "sub": "alice"}) is None
