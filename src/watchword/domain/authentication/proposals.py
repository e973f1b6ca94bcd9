"""Propose how a login that was refused would be admitted: a change of its method's settings, or what to do instead.

A proposal admits what was presented and nothing beside it: values are added to a list or put in the place of another,
never a pattern. It is for operators: whoever is refused does not see it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from watchword.domain.bounds import claim_matches
from watchword.domain.lists import join_list, split_patterns
from watchword.domain.plain_json import shown

Settings = Mapping[str, Any]
# Makes of the settings, and of what a check expected and was presented, the settings to change by wire name; or says
# what to do where no setting helps.
Proposer = Callable[[Settings, Any, Any], Mapping[str, Any] | str]
_WILD = re.compile(r"[*?\[\]{}()!|\\]")
_MOST_TEXT = 300  # characters: methods cut what they show there, and half a value admits nothing


class Proposal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What would admit a login: settings to change, as an update of the method takes them, and what it means."""

    text: str
    configuration: Mapping[str, Any] | None = None


def advice(text: str) -> Proposer:
    """No setting of the method helps; `text` says what does."""
    return lambda _settings, _expected, _presented: text


def added(field: str) -> Proposer:
    """The value is added to the comma list in `field`."""

    def propose(settings: Settings, _expected: Any, presented: Any) -> Mapping[str, Any] | str:
        value = whole_text(presented)
        if value is None:
            return f"The value presented cannot stand in the list {field}"
        return {field: with_part(settings.get(field), value)}

    return propose


def added_pattern(field: str) -> Proposer:
    """The value is added, literally, to the comma list of patterns in `field`."""

    def propose(settings: Settings, _expected: Any, presented: Any) -> Mapping[str, Any] | str:
        pattern = literal(whole_text(presented))
        if pattern is None:
            return f"The value presented cannot be written as a pattern of {field}"
        return {field: with_part(settings.get(field), pattern)}

    return propose


def added_pattern_item(field: str) -> Proposer:
    """The value is added, literally, to the list of patterns in `field`."""

    def propose(settings: Settings, _expected: Any, presented: Any) -> Mapping[str, Any] | str:
        pattern = literal(whole_text(presented))
        if pattern is None:
            return f"The value presented cannot be written as a pattern of {field}"
        return {field: [*(settings.get(field) or ()), pattern]}

    return propose


def replaced(field: str) -> Proposer:
    """The value takes the place of that in `field`."""

    def propose(_settings: Settings, _expected: Any, presented: Any) -> Mapping[str, Any] | str:
        value = whole_text(presented)
        return f"The value presented cannot be {field}" if value is None else {field: value}

    return propose


def replaced_pattern(field: str) -> Proposer:
    """The value, as a pattern that matches nothing else, takes the place of that in `field`."""

    def propose(_settings: Settings, _expected: Any, presented: Any) -> Mapping[str, Any] | str:
        pattern = literal(whole_text(presented))
        return f"The value presented cannot be {field}" if pattern is None else {field: pattern}

    return propose


def added_claim(field: str) -> Proposer:
    """The value is added to the patterns of its claim in `field`; a check presents `{path: value}`."""

    def propose(settings: Settings, _expected: Any, presented: Any) -> Mapping[str, Any] | str:
        path, value = next(iter(presented.items())) if isinstance(presented, Mapping) and presented else ("", None)
        pattern = literal(whole_text(value))
        if pattern is None:
            return f"The claim presented cannot be written as a pattern of {field}"
        bound = dict(settings.get(field) or {})
        return {field: bound | {path: with_part(bound.get(path), pattern)}}

    return propose


def without_claim(field: str) -> Proposer:
    """The claim that the proof does not have is bound no more; a check expects `{path: patterns}`."""

    def propose(settings: Settings, expected: Any, _presented: Any) -> Mapping[str, Any] | str:
        path = next(iter(expected), "") if isinstance(expected, Mapping) else ""
        return {field: {name: value for name, value in (settings.get(field) or {}).items() if name != path}}

    return propose


def added_network(field: str) -> Proposer:
    """The address is added to the list of networks in `field`."""

    def propose(settings: Settings, _expected: Any, presented: Any) -> Mapping[str, Any] | str:
        if not isinstance(presented, str) or not presented:
            return f"The address of the caller is not known: see {field}"
        return {field: [*(settings.get(field) or ()), {"ipAddress": presented}]}

    return propose


def whole_text(presented: Any) -> str | None:
    """The text to admit: of a list its first; None where it cannot be known whole."""
    if isinstance(presented, Sequence) and not isinstance(presented, str):
        presented = next(iter(presented), None)
    is_whole = isinstance(presented, str) and 0 < len(presented.strip()) == len(presented) < _MOST_TEXT
    return presented if is_whole and presented.isprintable() else None


def with_part(stored: Any, part: str) -> str:
    """The list with one more part, quoted where it has to be."""
    before = stored.strip() if isinstance(stored, str) else ""
    return f"{before}, {join_list([part])}" if before else join_list([part])


def literal(value: str | None) -> str | None:
    """The pattern that matches this text and no other, and can be a part of a list; None where there is none."""
    if value is None:
        return None
    pattern = _WILD.sub(r"\\\g<0>", value)
    is_part = split_patterns(join_list([pattern])) == (pattern,)
    return pattern if is_part and claim_matches(value, (pattern,)) else None


# What the core checks, and what no setting of a method admits.
SHARED: Final[Mapping[str, Proposer]] = {
    "certificate_expired": advice("The certificate has expired: the workload needs a new one"),
    "certificate_not_yet_valid": advice("The certificate is not valid yet: compare the clocks of both machines"),
    "certificate_revoked": advice("The certificate was revoked by its authority: the workload needs a new one"),
    "client_id_unknown": advice("There is no such client id: read it from the identity's method"),
    "client_secret_expired": advice("The client secret has expired: make a new one"),
    "client_secret_revoked": advice("The client secret was revoked: make a new one"),
    "client_secret_used_up": advice("The client secret has no uses left: make a new one"),
    "identity_disabled": advice("The identity is disabled: enable it"),
    "identity_expired": advice("The identity has expired: give it a later expiresAt"),
    "life_too_long": advice("The token lives too long: the workload must ask for one with a shorter life"),
    "locked_out": advice("The identity is locked out: wait, or clear its lockouts"),
    "not_a_member": advice("The identity is no active member of the organization: add it, or activate its membership"),
    "organization_not_allowed": advice("The identity is no member of that organization: add it there"),
    "organization_unknown": advice("There is no such organization: send another organizationSlug, or none"),
    "proof_replayed": advice("The proof was used before: the workload must make a new one for each login"),
    "token_expired": advice("The token has expired: the workload must ask for a new one"),
    "token_from_the_future": advice("The token was issued in the future: compare the clocks of both machines"),
    "token_not_yet_valid": advice("The token is not valid yet: compare the clocks of both machines"),
}


def proposed(
    proposers: Mapping[str, Proposer], reason: str, settings: Settings, expected: Any, presented: Any
) -> Proposal | None:
    """The proposal for a check that failed; None where nobody has one."""
    proposer = proposers.get(reason) or SHARED.get(reason)
    if proposer is None:
        return None
    try:
        change = shown(proposer(settings, expected, presented))
    except Exception:  # noqa: BLE001 - a package's own; without a proposal the refusal stands all the same
        return None
    if not isinstance(change, dict):
        return Proposal(text=change) if isinstance(change, str) else None
    return Proposal(text=f"Change {' and '.join(change)} of the auth method to admit this", configuration=change)
