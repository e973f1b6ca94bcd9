"""The setup code that a caller over the network must send to bootstrap a new instance.

The code is the text of `WATCHWORD_SETUP_CODE`, none with `off`, and by default derived from the instance's hash key.
Every process of one database therefore derives the same code and prints it while it can be used; nothing has to be
stored or passed on.
"""

import base64
import hashlib
import hmac

import msgspec

from watchword.domain.errors import Forbidden
from watchword.domain.secret import Secret
from watchword.services.context import Ctx
from watchword.services.people import organizations
from watchword.services.runtime import Runtime
from watchword.store.people import people

OFF = "off"
HEADER = "x-setup-code"
_BITS = 100  # entropy of a derived code: 20 characters of base32


class WrongSetupCode(Forbidden):
    """The setup code is missing or wrong; both read alike."""

    default = (
        "Bootstrapping this instance needs its setup code: send it as setupCode in the body or as the header "
        "X-Setup-Code. The server "
        "prints it when it starts, or it is set as WATCHWORD_SETUP_CODE; `watchword bootstrap` on the server's "
        "machine needs none"
    )


class Claim(organizations.Bootstrap, frozen=True, kw_only=True):
    """A bootstrap over the network: the code may come in the body or as a header."""

    setup_code: Secret | None = msgspec.field(name="setupCode", default=None)


def setup_code(runtime: Runtime) -> Secret | None:
    """Return the code that a bootstrap over the network must send; None where none is asked for."""
    configured = runtime.settings.setup_code
    if configured is not None:
        return None if configured.reveal() == OFF else configured
    derived = base64.b32encode(runtime.keys.digest("setup-code"))[: _BITS // 5].decode().lower()
    return Secret("-".join(derived[i : i + 5] for i in range(0, len(derived), 5)))


async def code_to_show(runtime: Runtime) -> Secret | None:
    """Return the code to print at startup.

    It is None once the instance is bootstrapped, where no code is needed, and where the operator chose it.
    """
    if runtime.settings.setup_code is not None:
        return None
    async with runtime.store.read() as tx:
        if await people.is_bootstrapped(tx):
            return None
    return setup_code(runtime)


async def is_bootstrapped(ctx: Ctx) -> bool:
    """Whether the instance has its first administrator already."""
    async with ctx.view() as tx:
        return await people.is_bootstrapped(tx)


async def bootstrap(ctx: Ctx, body: Claim, header: str) -> organizations.Bootstrapped:
    """Bootstrap the instance for a caller over the network.

    The code is compared first, so a caller without it costs a hash and a read: no argon2, no row. Wrong codes are
    charged to their address, which must wait after too many, with the right code too. Raises AlreadyBootstrapped,
    TooManyRequests, WrongSetupCode, Invalid.
    """
    ctx.public("the first act on an empty instance: nobody is there yet who could give permission")
    async with ctx.view() as tx:
        if await people.is_bootstrapped(tx):
            raise organizations.AlreadyBootstrapped
    wanted = setup_code(ctx.runtime)
    if wanted is not None:
        ctx.runtime.limits.setup_codes.require(ctx.address)
    in_body = body.setup_code.reveal() if body.setup_code is not None else ""
    if wanted is not None and not _is_right(wanted, in_body, header):
        ctx.runtime.limits.setup_codes.take(ctx.address)
        raise WrongSetupCode
    return await organizations.bootstrap(ctx, body)


def _is_right(wanted: Secret, *presented: str) -> bool:
    """Whether there is a code, and every one that was sent is right: of two that differ, one is somebody else's."""
    sent = [text for text in presented if text.strip()]
    return bool(sent) and all(hmac.compare_digest(_hash(wanted.reveal()), _hash(text)) for text in sent)


def _hash(text: str) -> bytes:
    """Return a digest of fixed length, so that a comparison does not tell how long the code is."""
    return hashlib.sha256(text.strip().encode("utf-8", "surrogatepass")).digest()
