"""Folder access: what one identity may do with what lies in one folder, in place of what its roles say there.

A grant is one of five tiers, each with all of the one before. Its rules name the folder's environment and its path
exactly, so folders below it are not meant. They allow what the tier has and deny the rest, and stand after all others.
"""

from typing import Final, Literal, TypeAlias

from watchword.domain.access.records import Privilege
from watchword.domain.access.subjects import SUBJECTS, Rule

Tier: TypeAlias = Literal["list", "read", "edit", "manage", "full-access"]
FULL: Final = "full-access"
_FOLDERS: Final = "secret-folders"

_ADDED: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "list": {
        "secrets": ("describeSecret",),
        "secret-imports": ("read",),
        "secret-syncs": ("read",),
        "secret-rotation": ("read",),
    },
    "read": {
        "secrets": ("readValue",),
        "dynamic-secrets": ("lease",),
        "secret-event-subscriptions": SUBJECTS["project"]["secret-event-subscriptions"].actions,
    },
    "edit": {"secrets": ("create", "edit", "delete"), "secret-imports": ("create", "edit", "delete")},
    "manage": {
        subject: SUBJECTS["project"][subject].actions
        for subject in ("secret-rotation", "dynamic-secrets", "secret-syncs")
    },
    FULL: {_FOLDERS: ("manage-access", "delete")},
}
TIERS: Final = tuple(_ADDED)
# What a grant decides on: of folders only what some tier has; which folders are below, and new ones, roles decide.
DECIDED: Final[dict[str, tuple[str, ...]]] = {
    subject: _ADDED[FULL][_FOLDERS]
    if subject == _FOLDERS
    # `read` on secrets is nothing but the two that stand beside it.
    else tuple(a for a in SUBJECTS["project"][subject].actions if (subject, a) != ("secrets", "read"))
    for subject in dict.fromkeys(subject for added in _ADDED.values() for subject in added)
}


class FolderAccess(Privilege, frozen=True, kw_only=True):
    """A grant of folder access, with the place that its folder has now; without one where the folder is gone."""

    tier: str
    environment: str | None
    path: str | None

    @property
    def source(self) -> str:
        """What an explanation calls the grant."""
        return f"folder access {self.tier} on {self.environment}:{self.path}"


def allowed(tier: str) -> dict[str, tuple[str, ...]]:
    """The actions of a tier by subject; none for a tier that this release does not know."""
    actions: dict[str, tuple[str, ...]] = {}
    if tier not in TIERS:
        return actions
    for name in TIERS[: TIERS.index(tier) + 1]:
        for subject, added in _ADDED[name].items():
            actions[subject] = tuple(dict.fromkeys((*actions.get(subject, ()), *added)))
    return actions


def rules(tier: str, environment: str, path: str) -> tuple[Rule, ...]:
    """The rules of a grant: what the tier has in that folder, and a denial of all else that lies in it."""
    place: dict[str, str | dict[str, object]] = {"environment": environment, "secretPath": {"$eq": path}}
    has = allowed(tier)
    decided = []
    for subject, actions in DECIDED.items():
        if granted := has.get(subject, ()):
            decided.append(Rule(subject, granted, place))
        if denied := tuple(action for action in actions if action not in granted):
            decided.append(Rule(subject, denied, place, inverted=True))
    return tuple(decided)
