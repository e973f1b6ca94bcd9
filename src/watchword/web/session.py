"""The cookies of the console: the session, a notice for the next page, and how a person likes the pages.

The session cookie holds a token of the person's session, which no script can read and no other site can set. Over TLS
its name says so (`__Host-`, RFC 6265bis section 4.1.3); plain HTTP is for a server on the same machine.
"""

import base64
import hmac
from typing import Any, Final

import msgspec

from watchword.domain.actor import NOBODY, Actor
from watchword.domain.errors import Unauthorized
from watchword.services.authentication.bearer import VerifiedTokens, authenticate_bearer
from watchword.services.context import Ctx
from watchword.services.people import passkeys, sign_in
from watchword.web.pages import Tone

_SESSION: Final = "watchword"
_NOTICE: Final = "watchword-notice"
_PROOF: Final = "watchword-proof"
THEME: Final = "watchword-theme"
_BROWSER: Final = "watchword-passkey"
_PROVED_FOR: Final = 10 * 60 * 1000  # milliseconds for which a password that was asked for again counts
_PASSKEY_FOR: Final = 86_400  # seconds; a challenge holds shorter
_DEVICE_KNOWN: Final = 365 * 86_400  # seconds


class Notice(msgspec.Struct, frozen=True):
    """A sentence that the next page shows once."""

    text: str
    tone: Tone


def _name(ctx: Ctx, name: str) -> str:
    return f"__Host-{name}" if ctx.is_secure else name


def _cookie(ctx: Ctx, name: str, value: str, *, seconds: int, strict: bool = False) -> str:
    secure = "; Secure" if ctx.is_secure else ""
    site = "Strict" if strict else "Lax"
    return f"{name}={value}; Path=/; HttpOnly; SameSite={site}; Max-Age={seconds}{secure}"


def keep(ctx: Ctx, session: sign_in.SignedIn) -> tuple[str, ...]:
    """The cookies of a person who has just proved something: the session, and the one that knows the device."""
    cookies = [_cookie(ctx, _name(ctx, _SESSION), session.token, seconds=ctx.runtime.settings.session_ttl)]
    if session.device is not None:
        cookies.append(_cookie(ctx, *session.device, seconds=_DEVICE_KNOWN, strict=True))
    return tuple(cookies)


def end(ctx: Ctx) -> tuple[str, ...]:
    """The cookies that end the session in this browser."""
    return tuple(_cookie(ctx, _name(ctx, name), "", seconds=0) for name in (_SESSION, _PROOF))


async def actor(ctx: Ctx, seen: VerifiedTokens) -> Actor:
    """The person of the session cookie; nobody without one that is live."""
    token = ctx.cookie(_name(ctx, _SESSION))
    if not token:
        return NOBODY
    try:
        found = await authenticate_bearer(ctx, token, seen)
    except Unauthorized:
        return NOBODY
    return found if found.kind in ("user", "pending") else NOBODY


def notice_cookie(ctx: Ctx, text: str, tone: Tone) -> str:
    """The cookie that carries a sentence to the page that follows."""
    value = base64.urlsafe_b64encode(msgspec.json.encode(Notice(text[:600], tone))).decode().rstrip("=")
    return _cookie(ctx, _name(ctx, _NOTICE), value, seconds=30)


def take_notice(ctx: Ctx) -> tuple[Notice | None, tuple[str, ...]]:
    """The sentence that this page shows, and the cookie that forgets it."""
    value = ctx.cookie(_name(ctx, _NOTICE))
    if not value:
        return None, ()
    forgotten = (_cookie(ctx, _name(ctx, _NOTICE), "", seconds=0),)
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)), type=Notice), forgotten
    except (ValueError, msgspec.DecodeError):
        return None, forgotten


def browser(ctx: Ctx) -> str:
    """The secret of this browser, to which a challenge for a passkey is bound; empty where it has none yet."""
    return ctx.cookie(_name(ctx, _BROWSER))


async def passkey_asked(ctx: Ctx, here: str) -> tuple[str, tuple[str, ...]]:
    """What a browser is asked of somebody who signs in with a passkey alone, as JSON, and the cookies for it.

    Empty where passkeys do not work, and before anybody has one.
    """
    if passkeys.party(ctx, here) is None or not await passkeys.is_any(ctx):
        return "", ()
    known = browser(ctx)
    if known:
        return passkeys.alone(ctx, here, known), ()
    new = ctx.runtime.entropy(16).hex()
    return passkeys.alone(ctx, here, new), (_cookie(ctx, _name(ctx, _BROWSER), new, seconds=_PASSKEY_FOR, strict=True),)


def passkey_answered(ctx: Ctx) -> str:
    """The cookie that forgets the secret of this browser: the next challenge is bound to another."""
    return _cookie(ctx, _name(ctx, _BROWSER), "", seconds=0, strict=True)


def _proof(ctx: Ctx, at: int) -> str:
    return ctx.runtime.keys.digest(f"console-proof/{ctx.actor.session_id}/{at}").hex()


def proved(ctx: Ctx) -> str:
    """The cookie that says that the person has just entered the password again."""
    return _cookie(
        ctx, _name(ctx, _PROOF), f"{ctx.now}.{_proof(ctx, ctx.now)}", seconds=_PROVED_FOR // 1000, strict=True
    )


def is_proved(ctx: Ctx) -> bool:
    """Whether the person of this session has entered the password within the last ten minutes."""
    at, _, proof = ctx.cookie(_name(ctx, _PROOF)).partition(".")
    if not (at.isascii() and at.isdigit() and len(at) < 16):
        return False
    is_own = hmac.compare_digest(proof.encode(), _proof(ctx, int(at)).encode())
    return is_own and 0 <= ctx.now - int(at) <= _PROVED_FOR


def theme(ctx: Ctx) -> str:
    """`light` or `dark` where the person has chosen; empty: as the system does."""
    value = ctx.cookie(THEME)
    return value if value in ("light", "dark") else ""


def theme_cookie(ctx: Ctx, value: str) -> str:
    """The cookie that keeps the choice. Scripts may read it: it holds nothing else."""
    secure = "; Secure" if ctx.is_secure else ""
    return f"{THEME}={value}; Path=/; SameSite=Lax; Max-Age={365 * 86_400 if value else 0}{secure}"


def described(ctx: Ctx) -> dict[str, Any]:
    """What every page knows of who is signed in."""
    who = ctx.actor
    return {"id": who.id, "name": who.name or who.email, "email": who.email, "is_admin": who.is_instance_admin}
