"""Token Auth: an operator makes the access token; there is no login."""

from watchword.methods.base import AuthMethod, Schema, no_risks

SLUG = "token-auth"


class Config(Schema, frozen=True, kw_only=True):
    """The configuration of Token Auth: nothing beyond what all methods have."""


METHOD: AuthMethod[Config, Schema] = AuthMethod(
    slug=SLUG,
    wrapper="identityTokenAuth",
    title="Token Auth",
    place="Only takes a token",
    where="static token, for old tools",
    icon="ticket",
    config=Config,
    login=None,
    verify=None,
    by_hand="access tokens",
    risks=no_risks,
)
