"""Rules of roles as sentences, and as the fields of a form.

A condition is typed as text: `prod`, `dev, staging` for one of several, `/db/**` for a pattern, `not prod`; for lists
`all of a, b`; for metadata `team=payments`. What has no such text is shown and taken as JSON.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from watchword.domain.access.abilities import Ability, ScopeKind
from watchword.domain.access.subjects import ENTRIES, EXACT, SET, SUBJECTS, TEXT
from watchword.domain.errors import Invalid
from watchword.web.forms import Form

MOST_RULES: Final = 200  # that the form shows: the API takes more
_PATTERN: Final = re.compile(r"[*?\[\]{}!]")
_FIELDS: Final[Mapping[str, str]] = {
    "environment": "in the environment",
    "secretPath": "in the folder",
    "secretName": "with the key",
    "secretTags": "with the tag",
    "metadata": "with the metadata",
    "identityId": "the identity",
    "assignableRole": "the role",
    "connectionId": "the connection",
    "eventType": "of the kind",
}
_ACTIONS: Final[Mapping[str, str]] = {
    "describeSecret": "see names",
    "readValue": "read values",
    "read": "read",
}
_SUBJECTS: Final[Mapping[str, str]] = {
    "secret-folders": "folders",
    "secret-imports": "imports of secrets",
    "member": "people",
    "groups": "groups",
    "identity": "machine identities",
    "role": "roles",
    "workspace": "the project",
    "settings": "settings",
    "audit-logs": "the audit log",
}


class FieldShown(msgspec.Struct, frozen=True, kw_only=True):
    """A condition that a subject can have, and what it is for one rule."""

    name: str
    label: str
    value: str
    hint: str


class RuleShown(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as the form shows it. `actions`: name, words, and whether it is chosen."""

    subject: str
    subject_words: str
    inverted: bool
    actions: Sequence[tuple[str, str, bool]]
    fields: Sequence[FieldShown]
    words: str


def action_words(action: str) -> str:
    """An action in words."""
    return _ACTIONS.get(action, action.replace("-", " "))


def subject_words(subject: str, kind: ScopeKind) -> str:
    """A subject in words."""
    if subject == "workspace" and kind == "organization":
        return "projects"
    return _SUBJECTS.get(subject, subject.replace("-", " "))


def subjects(kind: ScopeKind) -> Sequence[tuple[str, str]]:
    """The subjects that rules may be about, in words."""
    return sorted(((name, subject_words(name, kind)) for name in SUBJECTS[kind]), key=lambda pair: pair[1])


def condition_text(field: str, operand: Any, kinds: frozenset[str]) -> str:
    """A condition as people type it; as JSON where that says it exactly, and nothing else does."""
    for text in _candidates(operand):
        try:
            if _same(condition(field, text, kinds), operand):
                return text
        except Invalid:
            continue
    return json.dumps(operand, ensure_ascii=False) if isinstance(operand, dict) else json.dumps({"$eq": operand})


def _same(first: Any, second: Any) -> bool:
    return bool(_operators(first) == _operators(second))


def _operators(operand: Any) -> Any:
    return operand if isinstance(operand, dict) else {"$eq": operand}


def _candidates(operand: Any) -> Sequence[str]:
    if isinstance(operand, str):
        return (operand,)
    if not isinstance(operand, dict) or len(operand) != 1:
        return ()
    [(operator, value)] = operand.items()
    if operator in ("$eq", "$glob") and isinstance(value, str):
        return (value,)
    if operator == "$ne" and isinstance(value, str):
        return (f"not {value}",)
    if operator in ("$in", "$all") and isinstance(value, (list, tuple)):
        if not all(isinstance(item, str) for item in value):
            return ()
        joined = ", ".join(value)
        return (f"all of {joined}",) if operator == "$all" else (joined, f"any of {joined}")
    if operator == "$elemMatch" and isinstance(value, dict) and value.keys() == {"key", "value"}:
        plain = [part.get("$eq") if isinstance(part, dict) and len(part) == 1 else part for part in value.values()]
        if all(isinstance(part, str) for part in plain):
            return (f"{plain[0]}={plain[1]}",)
    return ()


def condition(field: str, text: str, kinds: frozenset[str]) -> Any:
    """The operand that a text says. Raises Invalid for one that says none."""
    said = text.strip()
    if said.startswith("{"):
        try:
            return json.loads(said)
        except (ValueError, RecursionError):
            raise Invalid.of(field, 'JSON such as {"$glob": "/db/**"}') from None
    if kinds == ENTRIES:
        key, equals, value = said.partition("=")
        if not (equals and key.strip() and value.strip()):
            raise Invalid.of(field, "Metadata such as team=payments")
        return {"$elemMatch": {"key": {"$eq": key.strip()}, "value": {"$eq": value.strip()}}}
    word, _, rest = said.partition(" of ")
    if kinds == SET:
        if word in ("all", "any") and rest:
            return {"$all" if word == "all" else "$in": _listed(field, rest)}
        return {"$in": _listed(field, said)}
    if word == "any" and rest:
        return {"$in": _listed(field, rest)}
    if said.startswith("not "):
        return {"$ne": said[4:].strip()}
    if "," in said and not _PATTERN.search(said):
        return {"$in": _listed(field, said)}
    if _PATTERN.search(said) and "$glob" in kinds:
        return {"$glob": said}
    return {"$eq": said}


def _listed(field: str, text: str) -> list[str]:
    items = [item.strip() for item in text.split(",") if item.strip()]
    if not items:
        raise Invalid.of(field, "One or several, with commas between")
    return items


def words(rule: Mapping[str, Any], kind: ScopeKind) -> str:
    """A rule as a sentence, after "Somebody with it"."""
    actions = rule["action"] if isinstance(rule["action"], (list, tuple)) else [rule["action"]]
    told = ", ".join(map(action_words, actions))
    known = SUBJECTS[kind].get(str(rule["subject"]))
    if known is not None and len(actions) > 3 and set(known.actions) <= set(actions):
        told = "do everything with"
    text = f"{'may never' if rule.get('inverted') else 'may'} {told} {subject_words(str(rule['subject']), kind)}"
    for field, operand in (rule.get("conditions") or {}).items():
        kinds = known.fields.get(field, EXACT) if known is not None else EXACT
        said = operand if isinstance(operand, Typed) else condition_text(field, operand, kinds)
        text += f" {_FIELDS.get(field, field)} {said}"
    return text


def shown(rules: Sequence[Mapping[str, Any]], kind: ScopeKind) -> Sequence[RuleShown]:
    """Stored rules as the form shows them."""
    found = []
    for rule in rules:
        given = rule["action"] if isinstance(rule["action"], (list, tuple)) else [rule["action"]]
        subject = str(rule["subject"])
        known = SUBJECTS[kind].get(subject)
        actions = [*(known.actions if known else ()), *(a for a in given if known is None or a not in known.actions)]
        conditions = dict(rule.get("conditions") or {})
        fields = known.fields if known else {}
        found.append(
            RuleShown(
                subject=subject,
                subject_words=subject_words(subject, kind),
                inverted=bool(rule.get("inverted")),
                actions=[(action, action_words(action), action in given) for action in actions],
                fields=[
                    FieldShown(
                        name=name,
                        label=_FIELDS.get(name, name),
                        value=conditions[name]
                        if isinstance(conditions.get(name), Typed)
                        else condition_text(name, conditions[name], fields.get(name, EXACT))
                        if name in conditions
                        else "",
                        hint=_hint(fields.get(name, EXACT)),
                    )
                    for name in dict.fromkeys((*fields, *conditions))
                ],
                words=words({**rule, "conditions": conditions}, kind),
            )
        )
    return found


class Typed(str):
    """The text of a condition that was typed and says none: it is shown again as it is."""

    __slots__ = ()


def _hint(kinds: frozenset[str]) -> str:
    if kinds == ENTRIES:
        return "team=payments"
    if kinds == SET:
        return "any of a, b, or: all of a, b"
    if kinds == TEXT:
        return "one, several with commas, a pattern such as /db/**, or: not prod"
    return "one, several with commas, or: not prod"


def of_form(form: Form, kind: ScopeKind) -> tuple[list[dict[str, Any]], Invalid | None]:
    """The rules that a form sent, in their order, and what is wrong with its conditions.

    The rows are numbered by `row`; a row's fields are `<row>.subject`, `<row>.inverted`, `<row>.action` and
    `<row>.if.<field>`.
    """
    rules: list[dict[str, Any]] = []
    wrong: list[Any] = []
    for row in dict.fromkeys(form.all("row")):
        subject = form[f"{row}.subject"]
        known = SUBJECTS[kind].get(subject)
        rule: dict[str, Any] = {"subject": subject, "action": list(dict.fromkeys(form.all(f"{row}.action")))}
        if form[f"{row}.inverted"] == "true":
            rule["inverted"] = True
        conditions: dict[str, Any] = {}
        prefix = f"{row}.if."
        for name, text in form.pairs:
            if not name.startswith(prefix) or not text.strip():
                continue
            field = name.removeprefix(prefix)
            kinds = known.fields.get(field, EXACT) if known else EXACT
            try:
                conditions[field] = condition(field, text, kinds)
            except Invalid as refusal:
                conditions[field] = Typed(text)
                wrong.append((len(rules) + 1, field, refusal.issues[0].message))
        if conditions:
            rule["conditions"] = conditions
        rules.append(rule)
    if not wrong:
        return rules, None
    number, field, message = wrong[0]
    return rules, Invalid.of(f"rule {number}, {_FIELDS.get(field, field)}", message)


def effect(ability: Ability, places: Sequence[str]) -> Sequence[tuple[str, Sequence[str]]]:
    """What an ability allows with secrets by environment: for each action `yes`, `partly` or `no`."""
    table = []
    for action in ("describeSecret", "readValue", "create", "edit", "delete"):
        cells = []
        for slug in places:
            facts = {"environment": slug}
            if ability.surely(action, "secrets", facts):
                cells.append("yes")
            else:
                cells.append("partly" if ability.could(action, "secrets", facts) else "no")
        table.append((action_words(action), cells))
    return table


def effect_beside_secrets(ability: Ability, kind: ScopeKind) -> Sequence[tuple[str, Sequence[tuple[str, bool]]]]:
    """What an ability allows of each subject: actions in words, and whether it is so of every such subject."""
    table = []
    for name, words in subjects(kind):
        actions = [
            (action_words(action), ability.always(action, name))
            for action in SUBJECTS[kind][name].actions
            if ability.could(action, name, {})
        ]
        if actions:
            table.append((words, actions))
    return table


def difference(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], kind: ScopeKind
) -> tuple[Sequence[str], Sequence[str]]:
    """The sentences that a change adds, and those that it takes away."""
    old, new = [words(rule, kind) for rule in before], [words(rule, kind) for rule in after]
    return [text for text in new if text not in old], [text for text in old if text not in new]
