"""Human passwords: argon2id, off the event loop, a few at a time."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from watchword.domain.errors import Invalid
from watchword.domain.secret import Secret

_hasher = PasswordHasher()  # RFC 9106, second recommended option: 64 MiB, 3 passes, 4 lanes
_threads = ThreadPoolExecutor(2, "argon2")
MIN_LENGTH, MAX_LENGTH = 8, 1024


def require_usable(password: Secret, path: str = "password") -> None:
    """Raise Invalid for a password that is too short or too long."""
    if not MIN_LENGTH <= len(password.reveal()) <= MAX_LENGTH:
        raise Invalid.of(path, f"A password has {MIN_LENGTH} to {MAX_LENGTH} characters", code="too_small")


@cache
def _nobody() -> str:
    """Verified against when there is no such person, so that the answer takes as long."""
    return _hasher.hash("nobody has this password")


async def hashed(password: Secret) -> str:
    """The argon2id hash to store."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _hasher.hash, password.reveal())


async def matches(password: Secret, stored: str | None) -> bool:
    """Whether the password is the stored one; None takes as long and is never right."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _matches, password.reveal(), stored)


def _matches(password: str, stored: str | None) -> bool:
    try:
        return _hasher.verify(stored or _nobody(), password[: MAX_LENGTH + 1]) and stored is not None
    except (VerificationError, InvalidHashError):
        return False
