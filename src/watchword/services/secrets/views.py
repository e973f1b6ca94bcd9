"""A secret as the caller may see it: in its place, with its value or without."""

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import msgspec

from watchword.domain.projects.records import Tag
from watchword.domain.secrets.records import SecretMetadata, StoredSecret
from watchword.domain.secrets.texts import HIDDEN
from watchword.services.keys.keyring import Sealer
from watchword.services.projects.locations import SecretLocation
from watchword.services.secrets import sealed
from watchword.services.secrets.folder_cache import CachedSecret, FolderSecrets
from watchword.services.secrets.sealed import Plain


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
    memo: dict[Hashable, Any] | None = None

    def __repr__(self) -> str:
        return f"SecretView({self.secret.key} in {self.environment}:{self.path})"


class DecryptedFolder:
    """All shared secrets of a folder with their values, and nothing else sealed in them: one by one for who looks at
    them so.

    `values` are not decoded, and in the order of the secrets; `made` keeps what is made of all the rest.
    """

    __slots__ = ("_held", "_place", "memo", "values")

    def __init__(self, folder_secrets: FolderSecrets, values: Sequence[bytes], place: SecretLocation) -> None:
        self._held = folder_secrets.shared
        self._place = place
        self.values = values
        self.memo = folder_secrets.memo

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[SecretView]:
        environment, path = self.at
        for held, value in zip(self._held.values(), self.values, strict=True):
            yield SecretView(held.secret, environment, path, value.decode(), "", (), held.tags, memo=held.memo)

    @property
    def at(self) -> tuple[str, str]:
        """The environment and the path."""
        return self._place.environment.slug, self._place.folder.path

    def has(self, text: bytes) -> bool:
        """Whether a value has this in it."""
        return any(text in value for value in self.values)


def decrypt_all(
    key: Sealer, folder_secrets: FolderSecrets, place: SecretLocation
) -> DecryptedFolder | Sequence[SecretView]:
    """Open all that is shared in a folder for an answer."""
    values = sealed.values_on(key, folder_secrets)
    return (
        decrypt_many(key, list(folder_secrets.every()), place, show=True)
        if values is None
        else DecryptedFolder(folder_secrets, values, place)
    )


def decrypt_one(
    key: Sealer, held: CachedSecret, place: SecretLocation, *, show: bool, is_imported: bool = False
) -> SecretView:
    """Open a secret for an answer."""
    return decrypt_many(key, (held,), place, show=show, is_imported=is_imported)[0]


def decrypt_many(
    key: Sealer, items: Sequence[CachedSecret], place: SecretLocation, *, show: bool, is_imported: bool = False
) -> list[SecretView]:
    """Open secrets of one place for an answer."""
    environment, path, hides = place.environment.slug, place.folder.path, not show
    values = sealed.values_of(key, items) if show else [HIDDEN] * len(items)
    return [
        # By position: nearly all that a list looks at goes this way, and names cost as much as all else here.
        SecretView(held.secret, environment, path, value, "", (), held.tags, hides, is_imported, held.memo)
        if held.is_bare
        else SecretView(
            secret=held.secret,
            environment=environment,
            path=path,
            value=value,
            comment=sealed.comment_of(key, held.secret),
            tags=held.tags,
            metadata=sealed.metadata_of(key, held.secret) if show else hidden(held.secret.metadata),
            is_hidden=hides,
            is_imported=is_imported,
        )
        for held, value in zip(items, values, strict=True)
    ]


def of_plain(held: CachedSecret, plain: Plain, place: SecretLocation, *, show: bool) -> SecretView:
    """The same for a secret that was just written, whose texts are at hand."""
    return SecretView(
        secret=held.secret,
        environment=place.environment.slug,
        path=place.folder.path,
        value=plain.value if show else HIDDEN,
        comment=plain.comment,
        metadata=plain.metadata if show else hidden(plain.metadata),
        tags=held.tags,
        is_hidden=not show,
    )


def hidden(metadata: Sequence[SecretMetadata]) -> tuple[SecretMetadata, ...]:
    """The metadata without what is encrypted in it."""
    return tuple(msgspec.structs.replace(item, value=HIDDEN) if item.is_encrypted else item for item in metadata)
