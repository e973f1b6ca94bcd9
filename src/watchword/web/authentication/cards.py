"""The ways of an identity to log in, each as a card: what it takes, what is dangerous, and its credentials."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from watchword.domain.authentication.endings import SecretState, end_of_secret, state_of
from watchword.domain.authentication.records import ClientSecret, MethodConfig
from watchword.domain.errors import Refusal
from watchword.methods.base import EVERYWHERE, Risk
from watchword.methods.words import sentence
from watchword.services.authentication import auth_methods, client_secrets, method_bodies, named_tokens
from watchword.services.authentication.method_bodies import Method
from watchword.services.authentication.named_tokens import NamedToken, TokenPage
from watchword.services.authentication.risks import judged, mending
from watchword.web import method_forms
from watchword.web.forms import duration_text
from watchword.web.identities.subject import Chip, Subject
from watchword.web.pages import Visit
from watchword.web.rendering import plural

_KEPT_FOR: Final = 30 * 86_400_000  # ms for which ended client secrets are shown
_MOST_TOKENS: Final = 100
_EVERYWHERE: Final = {network.ip_address for network in EVERYWHERE}
_TONES: Final = {"high": "bad", "medium": "warn", "low": "warn"}
_STATES: Final[dict[SecretState, tuple[str, str, str]]] = {
    "active": ("Active", "ok", "circle-check"),
    "expired": ("Expired", "", "hourglass"),
    "used-up": ("Used up", "", "check"),
    "revoked": ("Revoked", "bad", "ban"),
}


class ShownSecret(msgspec.Struct, frozen=True, kw_only=True):
    """A client secret as it is shown."""

    record: ClientSecret
    state: SecretState
    chip: Chip
    ends_at: int | None
    uses_left: str
    why: str  # of one that is good no more: what ended it
    ended_at: int | None


class Danger(msgspec.Struct, frozen=True, kw_only=True):
    """A risk of a method, in the words of its settings."""

    risk: Risk
    tone: str
    text: str
    mend: str
    change: str  # what ends it, in words; empty where somebody must choose


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """One way to log in. `facts` are its settings that are not empty, by their titles."""

    method: Method
    record: MethodConfig
    sentence: str  # who logs in
    facts: Sequence[tuple[str, str]]
    tokens: str
    risks: Sequence["Danger"]
    is_locked: bool
    secrets: Sequence[ShownSecret] | None  # None: they cannot be listed
    named: Sequence[NamedToken] | None
    locator: str


async def cards(visit: Visit, about: Subject) -> list[Card]:
    """Return the methods of an identity as cards, in the order of the registry."""
    methods = visit.ctx.runtime.methods.values()
    return [await _card(visit, about, method) for method in methods if method.slug in about.details.methods]


async def _card(visit: Visit, about: Subject, method: Method) -> Card:
    ctx, id = visit.ctx, about.identity.id
    attached = await auth_methods.get(ctx, method, id)
    record = attached.record
    return Card(
        method=method,
        record=record,
        sentence=sentence(method.guide, method.title, attached.settings),
        facts=facts(method, attached.settings),
        tokens=tokens_of(record),
        risks=[_danger(method, risk, mending(risk, record)) for risk in judged(method, record, attached.settings)],
        is_locked=method.slug in about.details.locked_methods,
        secrets=await _secrets(visit, method, id) if method.has_client_secrets else None,
        named=await _named(visit, method, id) if method.has_named_tokens else None,
        locator=str(attached.settings.get(method.locator, "")) if method.locator else "",
    )


def _danger(method: Method, risk: Risk, change: Mapping[str, Any]) -> Danger:
    fields = {field.name: field for field in method_forms.fields_of(method)}
    wire = [re.escape(name) for name in fields if not name.islower()]  # one word is a word of the sentence too
    names = re.compile(rf"\b({'|'.join(wire)})\b")
    said = []
    for name, value in change.items():
        is_duration = name in fields and fields[name].kind == "duration"
        text = (duration_text(value) if value else "none") if is_duration else {True: "on"}.get(value, str(value))
        said.append(f"{fields[name].title if name in fields else name}: {text}")

    def worded(text: str) -> str:
        return names.sub(lambda found: f"“{fields[found[1]].title}”", text)

    return Danger(
        risk=risk,
        tone=_TONES[risk.severity],
        text=worded(risk.message),
        mend=worded(risk.mend),
        change="; ".join(said),
    )


async def _secrets(visit: Visit, method: Method, id: str) -> list[ShownSecret] | None:
    ctx = visit.ctx
    try:
        every = await client_secrets.every(ctx, method, id, with_revoked=True)
    except Refusal:
        return None
    shown = [_shown(secret, ctx.now) for secret in reversed(every)]
    live = [each for each in shown if each.state == "active"]
    return [*live, *[each for each in shown if each.state != "active" and (each.ended_at or 0) > ctx.now - _KEPT_FOR]]


def _shown(secret: ClientSecret, now: int) -> ShownSecret:
    state = state_of(secret, now)
    text, tone, icon = _STATES[state]
    left = f"{max(0, secret.uses_limit - secret.uses)} of {secret.uses_limit}" if secret.uses_limit else "any"
    end = end_of_secret(secret)
    last = max(secret.updated_at, secret.last_used_at or 0)
    return ShownSecret(
        why={
            "revoked": "Somebody revoked it",
            "expired": "Its time was over",
            "used-up": f"It was good for {plural(secret.uses_limit, 'login')}",
        }.get(state, ""),
        ended_at=None if state == "active" else end if state == "expired" else last,
        record=secret,
        state=state,
        chip=Chip(text=text, tone=tone, icon=icon, calm=state == "active"),
        ends_at=end,
        uses_left=left,
    )


async def _named(visit: Visit, method: Method, id: str) -> list[NamedToken] | None:
    try:
        found = await named_tokens.every(visit.ctx, method, id, TokenPage(limit=_MOST_TOKENS))
    except Refusal:
        return None
    return found


def facts(method: Method, settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the settings of a configuration that say something, with their titles."""
    shown = []
    for item in method_forms.filled(method, settings):
        field = item.field
        if field.group != "method" or (field.is_folded and item.text == str(field.default or "")):
            continue
        text = _text(item)
        if text and text != "\n":
            shown.append((field.title, text))
    return shown


def _text(item: method_forms.Filled) -> str:
    kind = item.field.kind
    if kind == "secret":
        return "stored" if item.is_set else ""
    if kind == "tick":
        return "yes" if item.is_on and not item.field.default else "no" if item.field.default and not item.is_on else ""
    if kind in ("lines", "json"):
        return "given" if item.text.strip() else ""
    if kind == "texts":
        return f"{len([text for text in item.texts if text])} given" if any(item.texts) else ""
    if kind == "rows":
        return "; ".join(f"{key} = {value}" for key, value in item.rows)
    if kind == "networks" and set(item.text.split()) == _EVERYWHERE:
        return method_forms.ANY_NETWORK
    if kind == "variant":
        inner = [_text(part) for part in item.variants.get(item.text, ())]
        return f"{item.text}: {', '.join(filter(None, inner))}"
    return item.text.replace("\n", ", ")


def tokens_of(record: MethodConfig) -> str:
    """Return the sentence about the tokens that a method issues."""
    life = f"lives {duration_text(record.ttl)}" if record.ttl else "does not end"
    if record.period:
        most = f", and {duration_text(record.period)} more with each renewal"
    elif record.max_ttl:
        most = f", at most {duration_text(record.max_ttl)} with renewals"
    else:
        most = ", and can be renewed without end"
    uses = f", for {record.uses_limit} requests" if record.uses_limit else ""
    written = [method_bodies.written(ip) for ip in record.trusted_ips]
    networks = "any network" if set(written) == _EVERYWHERE else ", ".join(written[:3])
    more = f" and {len(record.trusted_ips) - 3} more" if len(record.trusted_ips) > 3 else ""
    return f"An access token {life}{most}{uses}, from {networks}{more}."
