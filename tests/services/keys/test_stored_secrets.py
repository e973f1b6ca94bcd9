"""A write-only secret of an auth method stays where it was entered for."""

from tests.api import Api

KUBERNETES = {
    "kubernetesHost": "https://cluster.example.com",
    "tokenReviewerJwt": "reviewer",
    "allowedNamespaces": "",
    "allowedNames": "",
    "allowedAudience": "",
}


async def test_a_stored_reviewer_token_is_not_sent_to_a_host_it_was_not_entered_for(api: Api) -> None:
    identity = await api.identity()
    path = f"/api/v1/auth/kubernetes-auth/identities/{identity['id']}"
    await api.ok("POST", path, KUBERNETES)

    refused = await api.patch(path, {"kubernetesHost": "https://mine.example.net"})
    entered = await api.patch(path, {"kubernetesHost": "https://other.example.com", "tokenReviewerJwt": "another"})
    unrelated = await api.patch(path, {"allowedNames": "a"})

    assert (422, 200, 200) == (refused.status_code, entered.status_code, unrelated.status_code)
    assert ["tokenReviewerJwt"] == refused.json()["message"][0]["path"]
