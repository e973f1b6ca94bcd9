"""A secret as the caller may see it: with its location, and with its value or without."""

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
    """A secret as it is answered; `value` is HIDDEN where it may not be shown, or was not asked for."""

    secret: StoredSecret
    environment: str
    path: str
    value: str
    comment: str
    metadata: Sequence[SecretMetadata]
    tags: Sequence[Tag]
    is_hidden: bool = False
    is_imported: bool = False
    # Only where nothing but the value is sealed: the cached secret's memo, for what is computed from all the rest.
    memo: dict[Hashable, Any] | None = None

    def __repr__(self) -> str:
        return f"SecretView({self.secret.key} in {self.environment}:{self.path})"


class DecryptedFolder:
    """All shared secrets of a folder with their values, for a folder where nothing but values is sealed.

    `values` are bytes, in the order of the secrets; iterating gives a view of each secret. `memo` keeps what is
    computed from all the rest.
    """

    __slots__ = ("_location", "_secrets", "memo", "values")

    def __init__(self, folder_secrets: FolderSecrets, values: Sequence[bytes], location: SecretLocation) -> None:
        self._secrets = folder_secrets.shared
        self._location = location
        self.values = values
        self.memo = folder_secrets.memo

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[SecretView]:
        environment, path = self.env_path
        for cached, value in zip(self._secrets.values(), self.values, strict=True):
            yield SecretView(cached.secret, environment, path, value.decode(), "", (), cached.tags, memo=cached.memo)

    @property
    def env_path(self) -> tuple[str, str]:
        """The environment and the path."""
        return self._location.environment.slug, self._location.folder.path

    def has(self, text: bytes) -> bool:
        """Whether some value contains `text`."""
        return any(text in value for value in self.values)


def decrypt_all(
    key: Sealer, folder_secrets: FolderSecrets, location: SecretLocation
) -> DecryptedFolder | Sequence[SecretView]:
    """Open all shared secrets of a folder for an answer."""
    values = sealed.values_on(key, folder_secrets)
    return (
        decrypt_many(key, list(folder_secrets.all_shared()), location, show=True)
        if values is None
        else DecryptedFolder(folder_secrets, values, location)
    )


def decrypt_one(
    key: Sealer, cached: CachedSecret, location: SecretLocation, *, show: bool, is_imported: bool = False
) -> SecretView:
    """Open a secret for an answer."""
    return decrypt_many(key, (cached,), location, show=show, is_imported=is_imported)[0]


def decrypt_many(
    key: Sealer, items: Sequence[CachedSecret], location: SecretLocation, *, show: bool, is_imported: bool = False
) -> list[SecretView]:
    """Open secrets of one location for an answer."""
    environment, path, hides = location.environment.slug, location.folder.path, not show
    values = sealed.values_of(key, items) if show else [HIDDEN] * len(items)
    return [
        # Arguments by position: nearly all secrets of a list pass here, and keywords would cost as much as the rest.
        SecretView(cached.secret, environment, path, value, "", (), cached.tags, hides, is_imported, cached.memo)
        if cached.is_bare
        else SecretView(
            secret=cached.secret,
            environment=environment,
            path=path,
            value=value,
            comment=sealed.comment_of(key, cached.secret),
            tags=cached.tags,
            metadata=sealed.metadata_of(key, cached.secret) if show else hidden(cached.secret.metadata),
            is_hidden=hides,
            is_imported=is_imported,
        )
        for cached, value in zip(items, values, strict=True)
    ]


def of_plain(cached: CachedSecret, plain: Plain, location: SecretLocation, *, show: bool) -> SecretView:
    """Make the view of a secret that was just written, from its plain texts."""
    return SecretView(
        secret=cached.secret,
        environment=location.environment.slug,
        path=location.folder.path,
        value=plain.value if show else HIDDEN,
        comment=plain.comment,
        metadata=plain.metadata if show else hidden(plain.metadata),
        tags=cached.tags,
        is_hidden=not show,
    )


def hidden(metadata: Sequence[SecretMetadata]) -> tuple[SecretMetadata, ...]:
    """Return the metadata with encrypted values hidden."""
    return tuple(msgspec.structs.replace(item, value=HIDDEN) if item.is_encrypted else item for item in metadata)
