"""The failed-login counter: pure state transitions; the time is an argument.

    clear ──failure──> counting(n) ──failure, n+1 = threshold──> locked ──duration passes──> clear
                           │  └─────────failure────────> counting(n+1)
                           └──reset time passes, or a success──> clear

While locked, the right secret is refused too, and further failures do not lengthen the lock.
"""

from typing import Final

from watchword.domain.model.identities import Lockout, MethodConfig

# Wrong proofs of a person: how many are free, how long a count lives, and how long each one from the last free one on makes wait (ms).
FREE: Final = 10
REMEMBERED: Final = 2 * 3_600_000
DELAYS: Final = (300_000, 600_000, 900_000)  # the last one stays


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
