"""Token Auth: an operator makes the access token; there is no login."""

from watchword.methods.base import AuthMethod, Guide, Schema, no_risks

SLUG = "token-auth"


class Config(Schema, frozen=True, kw_only=True):
    """The configuration of Token Auth: nothing beyond what all methods have."""


METHOD: AuthMethod[Config, Schema] = AuthMethod(
    slug=SLUG,
    wrapper="identityTokenAuth",
    title="Token Auth",
    place="Only takes a token",
    where="static token, for old tools",
    guide=Guide(
        summary=("whoever holds one of its tokens is this identity", "without a login"),
        variables=(("INFISICAL_TOKEN", ""),),
        mistakes=(
            "The token is sent as it is: Authorization: Bearer, a blank, and the token.",
            "It ended: such a token lives as long as the settings said when it was made.",
            "It is shared by several workloads: make one for each, so that one can be revoked alone.",
        ),
    ),
    icon="ticket",
    config=Config,
    login=None,
    verify=None,
    by_hand="access tokens",
    risks=no_risks,
)
