"""A secret as the caller may see it: in its place, with its value or without."""

from collections.abc import Hashable, Sequence
from typing import Any

import msgspec

from watchword.domain.model.projects import Tag
from watchword.domain.model.secrets import SecretMetadata, StoredSecret
from watchword.domain.secret_text import HIDDEN
from watchword.services.keys import Sealer
from watchword.services.places import Place
from watchword.services.secrets import sealed
from watchword.services.secrets.sealed import Plain
from watchword.services.secrets.shelves import Held


class SecretView(msgspec.Struct, frozen=True, gc=False):
    """What is answered about one secret; `value` is HIDDEN where it may not be, or was not to be, shown."""

    secret: StoredSecret
    environment: str
    path: str
    value: str
    comment: str
    metadata: Sequence[SecretMetadata]
    tags: Sequence[Tag]
    is_hidden: bool = False
    is_imported: bool = False
    # Where the value is all that must be opened: a place to keep what is made of the rest, for as long as it is true.
    made: dict[Hashable, Any] | None = None

    def __repr__(self) -> str:
        return f"SecretView({self.secret.key} in {self.environment}:{self.path})"


def look(key: Sealer, held: Held, place: Place, *, show: bool, is_imported: bool = False) -> SecretView:
    """Open a secret for an answer."""
    return look_at_every(key, (held,), place, show=show, is_imported=is_imported)[0]


def look_at_every(key: Sealer, items: Sequence[Held], place: Place, *, show: bool, is_imported: bool = False) -> list[SecretView]:
    """Open secrets of one place for an answer."""
    environment, path, hides = place.environment.slug, place.folder.path, not show
    values = sealed.values_of(key, items) if show else [HIDDEN] * len(items)
    return [
        # By position: nearly all that a list looks at goes this way, and names cost as much as all else here.
        SecretView(held.secret, environment, path, value, "", (), held.tags, hides, is_imported, held.made)
        if held.is_bare
        else SecretView(
            secret=held.secret, environment=environment, path=path, value=value, comment=sealed.comment_of(key, held.secret), tags=held.tags,
            metadata=sealed.metadata_of(key, held.secret) if show else hidden(held.secret.metadata), is_hidden=hides, is_imported=is_imported,
        )
        for held, value in zip(items, values, strict=True)
    ]  # fmt: skip


def of_plain(held: Held, plain: Plain, place: Place, *, show: bool) -> SecretView:
    """The same for a secret that was just written, whose texts are at hand."""
    return SecretView(
        secret=held.secret, environment=place.environment.slug, path=place.folder.path, value=plain.value if show else HIDDEN,
        comment=plain.comment, metadata=plain.metadata if show else hidden(plain.metadata), tags=held.tags, is_hidden=not show,
    )  # fmt: skip


def hidden(metadata: Sequence[SecretMetadata]) -> tuple[SecretMetadata, ...]:
    """The metadata without what is encrypted in it."""
    return tuple(msgspec.structs.replace(item, value=HIDDEN) if item.is_encrypted else item for item in metadata)
