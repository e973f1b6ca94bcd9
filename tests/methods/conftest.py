"""The remote site that methods are tested against: one TLS server on loopback that every name leads to.

Requests go through the real outbound client.
"""

import msgspec
import pytest

from tests.methods.doubles.web import CA, Site
from tests.minting import NOW, Recorded
from watchword.adapters.outbound import GuardedOutbound
from watchword.domain.errors import Denied, Invalid
from watchword.domain.secret import decode_secret
from watchword.methods.base import Given, Operator, as_stored

IDENTITY = "6f1a3c7e-0b52-4f6e-9a55-2f6f3a1d9b10"


class RemoteSite:
    """A site with the names of the clouds, and an Outbound whose name service leads to it."""

    ca = CA
    identity = IDENTITY

    def __init__(self, site):
        self.site = site
        self.operator = Operator()
        self.now = NOW * 1000
        self.outbound = GuardedOutbound(
            clock=lambda: self.now,
            allowed_private_hosts=("127.0.0.1",),
            roots=CA,
            resolve=self._resolve,
            total_timeout=2,
        )

    async def _resolve(self, _host, _port):
        return [("127.0.0.1", self.site.port)]

    def config(self, method, body):
        """The configuration as the core reads it; raises what the core would answer."""
        return as_stored(method, msgspec.convert(body, method.config, dec_hook=decode_secret), self.operator)

    async def login(self, method, body, jwt, **more):
        given = Given(
            now=self.now, identity_id=IDENTITY, outbound=self.outbound, checks=Recorded(), operator=self.operator
        )
        return await method.verify(
            self.config(method, body), method.login(identity_id=IDENTITY, jwt=jwt, **more), given
        )

    async def refusal(self, method, body, jwt):
        """The reason a login was refused for."""
        with pytest.raises(Denied) as refused:
            await self.login(method, body, jwt)
        assert jwt.strip() == "" or jwt.strip() not in repr((refused.value.message, refused.value.facts))
        return refused.value.reason

    def faults(self, method, body):
        """The fields that a configuration is refused for; empty when it is accepted."""
        try:
            self.config(method, body)
        except Invalid as error:
            return [issue.path[0] for issue in error.issues]
        except msgspec.ValidationError as error:
            return [str(error).rpartition("$.")[2].split("`")[0] or str(error)]
        return []


@pytest.fixture
async def remote():
    async with Site(
        names=(
            "127.0.0.1",
            "login.microsoftonline.com",
            "*.microsoftonline.us",
            "*.partner.microsoftonline.cn",
            "www.googleapis.com",
            "issuer.test",
            "login.lab.test",
            "cluster.test",
        )
    ) as site:
        remote = RemoteSite(site)
        yield remote
        await remote.outbound.close()
