"""What the pages of webhooks and of alert channels have in common: how deliveries go, in words, and acts on them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from watchword.domain.deliveries import DeliveryPage, DeliveryTarget
from watchword.domain.errors import BadRequest
from watchword.services.context import Ctx
from watchword.services.receivers import DeliveryQuery, RetryDeliveries
from watchword.web.pages import Visit
from watchword.web.rendering import plural

KINDS: Final = {"general": "a program", "slack": "Slack", "microsoft-teams": "Microsoft Teams", "email": "mail"}
_SHOWN: Final = 20  # messages of a page


class State(msgspec.Struct, frozen=True):
    """How deliveries to a receiver go: a word with its tone and icon, and a sentence."""

    word: str
    tone: str
    icon: str
    sentence: str


def state(record: DeliveryTarget, waiting: int, dead: int) -> State:
    """How deliveries to a receiver go."""
    left = [plural(dead, "message") + " given up"] if dead else []
    left += [plural(waiting, "message") + " waiting"] if waiting else []
    after = f"{', '.join(left)}. " if left else ""
    if record.is_disabled:
        return State("disabled", "", "circle-minus", f"{after}Nothing is sent")
    if record.last_status is None:
        return State("waits" if waiting else "nothing sent yet", "", "hourglass", after.rstrip(". "))
    if record.last_status != "success":
        return State("fails", "bad", "triangle-alert", f"{after}The last attempt: {record.last_error or 'refused'}")
    if dead:
        return State("works, messages given up", "warn", "triangle-alert", after.rstrip(". "))
    return State("works", "ok", "check", after.rstrip(". "))


def host_of(record: DeliveryTarget) -> str:
    """What is typed to confirm that a receiver is deleted: its host, or what is shown of it."""
    return urlsplit(record.shown).hostname or record.shown


Lists = Callable[[Ctx, str, DeliveryQuery], Awaitable[DeliveryPage]]


async def messages(visit: Visit, lists: Lists, id: str) -> Mapping[str, Any]:
    """A page of the messages that were given up, from `after` on, and the first of those that wait."""
    after = visit.query["after"]
    cursor = int(after) if after.isascii() and after.isdigit() and len(after) < 16 else 0
    dead = await lists(visit.ctx, id, DeliveryQuery(state="dead", cursor=cursor, limit=_SHOWN))
    waiting = await lists(visit.ctx, id, DeliveryQuery(state="waiting", limit=_SHOWN))
    return {
        "dead": dead.deliveries,
        "next": visit.again(after=dead.next_cursor) if dead.next_cursor else "",
        "first": visit.again(after=None) if cursor else "",
        "waiting": waiting.deliveries,
        "more_waiting": waiting.next_cursor is not None,
    }


async def retried(visit: Visit, retry: Callable[[Ctx, str, RetryDeliveries], Awaitable[int]], id: str) -> str:
    """Send given-up messages again: the chosen ones, or all; what is said after it. Raises BadRequest."""
    form = visit.form
    ids = tuple(form.all("delivery"))
    if form["which"] != "all" and not ids:
        raise BadRequest("Choose at least one message")
    chosen = RetryDeliveries() if form["which"] == "all" else RetryDeliveries(delivery_ids=ids[:1_000])
    count = await retry(visit.ctx, id, chosen)
    return f"{plural(count, 'message')} will be sent again" if count else "No message is there to be sent again"


def tested(record: DeliveryTarget) -> tuple[str, str]:
    """What is said after a test, and its tone."""
    if record.last_status == "success":
        return f"The test message was taken by {record.shown}", "ok"
    return f"The test message was not taken: {record.last_error or 'refused'}", "bad"


def kinds(*names: str) -> Sequence[tuple[str, str]]:
    """The kinds of receivers as options of a form."""
    return [(name, KINDS[name].capitalize() if name in ("general", "email") else KINDS[name]) for name in names]
