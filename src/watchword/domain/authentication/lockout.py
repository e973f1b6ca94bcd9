"""The failed-login counter: pure state transitions; the time is an argument.

    clear ──failure──> counting(n) ──failure, n+1 = threshold──> locked ──duration passes──> clear
                           │  └─────────failure────────> counting(n+1)
                           └──reset time passes, or a success──> clear

While locked, the right secret is refused too, and further failures do not lengthen the lock.
"""

from typing import Final

from watchword.domain.authentication.records import Lockout, MethodConfig
from watchword.domain.people.records import PersonFailures

# Wrong proofs of a person: how many are free, how long a count lives, and how long each one from the last free one on
# makes wait (ms).
FREE: Final = 10
REMEMBERED: Final = 2 * 3_600_000
DELAYS: Final = (300_000, 600_000, 900_000)  # the last one stays

# Wrong passwords of all strangers with one person are a level as well, of which one drains in `DRAINED` (ms): 500 an
# hour.
#
#   below CROWDED     each address has its free ones
#   from CROWDED on   an address that has been wrong waits 5 minutes after each
#   from BESIEGED on  an hour
#   from FULL on      every stranger waits until one has drained
#
# So there are at most FULL + 500 guesses in any hour, and an address that was never wrong waits only where more than
# 250 others are.
DRAINED: Final = 7_200
CROWDED, BESIEGED, FULL = 100, 250, 500
_WAITS: Final = ((BESIEGED, 3_600_000), (CROWDED, DELAYS[0]))


def is_locked(state: Lockout | None, now: int) -> bool:
    """Whether logins are refused at `now` (milliseconds)."""
    return state is not None and now < state.locked_until


def after_failure(state: Lockout | None, config: MethodConfig, key: str, now: int) -> Lockout:
    """The state after one more failed login."""
    if state is not None and now < state.locked_until:
        return state
    counting = state is not None and now < state.window_ends_at and state.locked_until == 0
    failures = (state.failures if state is not None and counting else 0) + 1
    locked = failures >= config.lockout_threshold
    return Lockout(
        key=key,
        identity_id=config.identity_id,
        failures=failures,
        window_ends_at=now + config.lockout_reset * 1000,
        locked_until=now + config.lockout_duration * 1000 if locked else 0,
    )


def after_wrong(state: PersonFailures | None, key: str, now: int) -> PersonFailures:
    """The count of one key after one more wrong password at `now` (ms)."""
    if state is not None and state.locked_until > now:
        return state
    failures = state.failures + 1 if state is not None and state.window_ends_at > now else 1
    delay = DELAYS[min(failures - FREE, len(DELAYS) - 1)] if failures >= FREE else None
    until = now + REMEMBERED
    return PersonFailures(
        key=key,
        failures=failures,
        window_ends_at=until,
        locked_until=0 if delay is None else now + delay,
        expires_at=until,
    )


def after_wrong_of_strangers(state: PersonFailures | None, key: str, now: int) -> PersonFailures:
    """The failure level of all strangers after one more wrong password at `now` (ms).

    `window_ends_at` is the moment at which the level is zero again.
    """
    empty_at = (max(state.window_ends_at, now) if state is not None else now) + DRAINED
    failures = state.failures + 1 if state is not None and state.window_ends_at > now else 1
    return PersonFailures(key=key, failures=failures, window_ends_at=empty_at, locked_until=0, expires_at=empty_at)


def waits_until(own: PersonFailures | None, strangers: PersonFailures | None, now: int) -> int:
    """The moment (ms) until which passwords are refused, right ones too.

    It follows from the caller's own count and, for a stranger, from the count of all strangers.
    """
    until = own.locked_until if own is not None else 0
    level = -(-(strangers.window_ends_at - now) // DRAINED) if strangers is not None else 0
    if strangers is not None and level >= FULL:
        until = max(until, strangers.window_ends_at - (FULL - 1) * DRAINED)
    if own is not None and own.window_ends_at > now:
        wait = next((wait for least, wait in _WAITS if level >= least), 0)
        until = max(until, own.window_ends_at - REMEMBERED + wait)
    return until
