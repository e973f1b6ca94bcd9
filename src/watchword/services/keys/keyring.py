"""The keyring: root key -> organization key -> project key, and the instance's own keys.

Data keys are stored in the database, each sealed under its parent. They never change (a rotation adds a version), so an
opened key may be kept in memory without checking it again. A newer version is noticed by `refresh`, every few seconds,
and whenever a value turns up that was sealed with a version not known to this process. Rotation
(`services/keys/rotation.py`) gives all servers that time before a new version is used.
"""

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import Callable, Iterable, Sequence

import msgspec
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl.signing import VerifyKey

from watchword.domain.authentication.tokens import Signer, jwk_point
from watchword.domain.errors import Unavailable
from watchword.domain.keys.records import DataKey
from watchword.domain.keys.sealing import CannotOpen, Envelope, key_version, seal, unseal
from watchword.store import versions
from watchword.store.engine import AlreadyThere, Store, Tx
from watchword.store.keys import data_keys

_KEPT = 20_000

HMAC = "instance/hmac"
SIGNING = "instance/signing"
PEOPLE = "instance/people"  # seals what belongs to a person and no organization: the second factor
_OF_THE_INSTANCE = (HMAC, SIGNING, PEOPLE)


class WrongRootKey(Exception):
    """The configured root key does not open this database's keys."""


class KeysBehind(CannotOpen, Unavailable):
    """A value was sealed with a key version that this process has not read yet; the next try will read it."""

    default = "The keys were rotated a moment ago, try again"


def org_scope(org_id: str) -> str:
    """Return the key scope of an organization."""
    return f"org/{org_id}"


def project_scope(project_id: str) -> str:
    """Return the key scope of a project."""
    return f"project/{project_id}"


class Sealer:
    """A sealer that seals and opens the values of one scope. `Keyring.sealer` makes it."""

    __slots__ = ("_behind", "_entropy", "_keys", "newest", "scope")

    def __init__(
        self,
        scope: str,
        keys: dict[int, AESGCM],
        newest: int,
        entropy: Callable[[int], bytes],
        behind: Callable[[str], object],
    ) -> None:
        self.scope = scope
        self.newest = newest  # the version that seals
        self._keys = keys
        self._entropy = entropy
        self._behind = behind

    def __repr__(self) -> str:
        return f"Sealer({self.scope}, version {self.newest})"

    def seal(self, context: str, plain: bytes) -> bytes:
        """Seal `plain` with the newest key, bound to this scope and `context`."""
        return seal(self._keys[self.newest], self.newest, self._entropy(12), f"{self.scope}/{context}", plain)

    def open(self, context: str, envelope: bytes) -> bytes:
        """Open what was sealed for `context`. Raises CannotOpen."""
        return self.opened(self.taken_apart(context, envelope))

    def taken_apart(self, context: str, envelope: bytes) -> Envelope:
        """Parse an envelope that was sealed for `context`, to be opened many times. Raises CannotOpen."""
        return Envelope.of(f"{self.scope}/{context}", envelope)

    def opened(self, envelope: Envelope) -> bytes:
        """Open a parsed envelope. Raises CannotOpen."""
        return self.opened_every((envelope,))[0]

    def opened_every(self, envelopes: Sequence[Envelope]) -> list[bytes]:
        """Open parsed envelopes. Raises CannotOpen."""
        try:
            return Envelope.open_every(self._keys, envelopes)
        except KeyError:
            self._behind(self.scope)
            raise KeysBehind from None

    def reseal(self, context: str, envelope: bytes) -> bytes:
        """Seal the same value with the newest key; return the same envelope if it is sealed with that already."""
        return envelope if key_version(envelope) == self.newest else self.seal(context, self.open(context, envelope))

    def reseal_text(self, context: str, sealed: str) -> str:
        """Seal the same text with the newest key."""
        return base64.b64encode(self.reseal(context, base64.b64decode(sealed))).decode()

    def seal_text(self, context: str, plain: str) -> str:
        """Seal a text as base64, for JSON columns."""
        return base64.b64encode(self.seal(context, plain.encode())).decode()

    def open_text(self, context: str, sealed: str) -> str:
        """Open a text sealed by `seal_text`. Raises CannotOpen."""
        return self.open(context, base64.b64decode(sealed)).decode()


class Keyring:
    """All opened keys. `open()` must have succeeded before anything else is called."""

    def __init__(
        self, root: bytes, entropy: Callable[[int], bytes], clock: Callable[[], int], previous: bytes | None = None
    ) -> None:
        # Versions of the root key are told apart by a fingerprint of the key, so a wrong one is never tried.
        self._roots = {_fingerprint(key): AESGCM(key) for key in (root, previous) if key is not None}
        self.root_version = _fingerprint(root)
        self._seen = -1
        self.checked = -1  # the version of the keys at which their validity was last checked
        self._reading = asyncio.Lock()
        self._headers: dict[int, str] = {}  # of signing keys, by version
        self._entropy = entropy
        self._clock = clock
        self._sealers: dict[str, Sealer] = {}
        self._hmac: hmac.HMAC
        self.hash_version = 1  # the version of the key that hashes new credentials
        self._hashers: dict[int, hmac.HMAC] = {}  # by version: the other keys that credentials may be hashed with
        self.signer: Signer
        self.verifiers: dict[str, VerifyKey] = {}
        self.jwks: dict[str, list[dict[str, str]]] = {"keys": []}

    def __repr__(self) -> str:
        return "Keyring(***)"

    @property
    def key_ids(self) -> frozenset[str]:
        """The ids of the signing keys whose tokens are accepted."""
        return frozenset(jwk["kid"] for jwk in self.jwks["keys"])

    def require_opens(self, sealed: Iterable[tuple[str, int, bytes]]) -> None:
        """Raise WrongRootKey unless the root key opens these keys below it: (scope, version, sealed)."""
        for scope, version, envelope in sealed:
            key = DataKey(scope=scope, version=version, parent="root", parent_version=0, sealed=envelope, created_at=0)
            self._open_data_key(key, None)

    async def open(self, store: Store) -> None:
        """Open the instance's keys, or create them in an empty database.

        Raises WrongRootKey before anything is changed.
        """
        async with store.read() as tx:
            keys = await data_keys.of_scopes(tx, _OF_THE_INSTANCE)
            (self._seen,) = await tx.versions((versions.keys(),))
        self.checked = self._seen
        for key in keys:
            self._open_data_key(key, None)
        if _lacking(keys):
            keys = await self._make_lacking(store)
        self._use(keys)

    async def _make_lacking(self, store: Store) -> list[DataKey]:
        # Two servers may start on an empty database at once: the first creates the keys, the other reads them.
        with contextlib.suppress(AlreadyThere):
            async with store.write() as tx:
                keys = [
                    self._instance_key(scope) for scope in _lacking(await data_keys.of_scopes(tx, _OF_THE_INSTANCE))
                ]
                await data_keys.add_first(tx, keys)
        async with store.read() as tx:
            return await data_keys.of_scopes(tx, _OF_THE_INSTANCE)

    async def refresh(self, store: Store) -> bool:
        """Read the keys again if a rotation changed some; return whether it did.

        Raises WrongRootKey, and keeps the opened keys.
        """
        (version,) = await store.versions((versions.keys(),))
        if version == self._seen:
            self.checked = version
            return False
        async with store.read() as tx:
            keys = await data_keys.of_scopes(tx, _OF_THE_INSTANCE)
            (seen,) = await tx.versions((versions.keys(),))
        self._forget_ended(keys)
        self.checked = seen
        self._use(keys)
        self._sealers = {}
        self._seen = seen
        return True

    async def catch_up(self, store: Store, version: int) -> None:
        """Learn of every key that was ended up to this version of the keys.

        Requests that arrive together read once. Without the current root key no new keys can be opened, but ended ones
        are forgotten.
        """
        async with self._reading:
            if version != self.checked:
                with contextlib.suppress(WrongRootKey):  # `refresh` says so in the log, every few seconds
                    await self.refresh(store)

    def _forget_ended(self, keys: Sequence[DataKey]) -> None:
        """Forget the keys that are retired or revoked; no key need be opened for this."""
        hashing = {key.version for key in keys if _hashes(key, keys)}
        self._hashers = {version: hasher for version, hasher in self._hashers.items() if version in hashing}
        newest = max(key.version for key in keys if key.scope == SIGNING and key.is_active)
        good = {key.version for key in keys if key.scope == SIGNING and (key.is_active or key.version > newest)}
        ended = {header for version, header in self._headers.items() if version not in good}
        if ended:
            self.verifiers = {header: key for header, key in self.verifiers.items() if header not in ended}
            points = {jwk_point(key) for key in self.verifiers.values()}
            self.jwks = {"keys": [jwk for jwk in self.jwks["keys"] if jwk["x"] in points]}
            self._headers = {version: header for version, header in self._headers.items() if version in good}

    def _use(self, keys: Sequence[DataKey]) -> None:
        verifiers: dict[str, VerifyKey] = {}
        headers: dict[int, str] = {}
        jwks: list[dict[str, str]] = []
        newest = max(key.version for key in keys if key.scope == SIGNING and key.is_active)
        hashers = {
            key.version: hmac.HMAC(self._open_data_key(key, None), hashes.SHA256())
            for key in keys
            if _hashes(key, keys)
        }
        for key in keys:
            raw = self._open_data_key(key, None)
            if key.scope == HMAC:
                continue
            if key.scope == SIGNING and (key.is_active or key.version > newest):
                signer = Signer(raw)
                headers[key.version] = signer.header.decode()
                verifiers[headers[key.version]] = signer.public
                jwks.append(signer.jwk())
                if key.version == newest:
                    self.signer = signer
        if (
            verifiers.keys() != self.verifiers.keys()
        ):  # else the same dictionary, so that tokens verified with it stay cached
            self.verifiers = verifiers
        self._headers, self.jwks = headers, {"keys": jwks}
        self.hash_version = max(key.version for key in keys if key.scope == HMAC and key.is_active)
        self._hmac = hashers.pop(self.hash_version)
        self._hashers = hashers

    def _instance_key(self, scope: str) -> DataKey:
        return self.new_key(scope, 1)

    def new_key(self, scope: str, version: int, parent: Sealer | None = None) -> DataKey:
        """Make a new version of a scope's key, sealed under its parent's newest or the root; it is not stored."""
        if parent is None:
            return self._new_key(scope, version, "root", self.root_version, self._roots[self.root_version])
        return self._new_key(scope, version, parent.scope, parent.newest, parent)

    def under_root(self, key: DataKey) -> DataKey:
        """Seal a key below the root with the current root key. Raises WrongRootKey."""
        raw, context = self._open_data_key(key, None), f"data-key/{key.scope}/{key.version}"
        sealed = seal(self._roots[self.root_version], self.root_version, self._entropy(12), context, raw)
        return msgspec.structs.replace(key, sealed=sealed, parent_version=self.root_version)

    def _new_key(
        self, scope: str, version: int, parent: str, parent_version: int, parent_key: AESGCM | Sealer
    ) -> DataKey:
        raw, context = self._entropy(32), f"data-key/{scope}/{version}"
        if isinstance(parent_key, AESGCM):
            sealed = seal(parent_key, parent_version, self._entropy(12), context, raw)
        else:
            sealed = parent_key.seal(context, raw)
        return DataKey(
            scope=scope,
            version=version,
            parent=parent,
            parent_version=parent_version,
            sealed=sealed,
            created_at=self._clock(),
        )

    def _open_data_key(self, key: DataKey, parent: Sealer | None) -> bytes:
        context = f"data-key/{key.scope}/{key.version}"
        try:
            if parent is not None:
                return parent.open(context, key.sealed)
            root = self._roots.get(key_version(key.sealed))
            if root is None:
                raise CannotOpen("sealed under another root key")
            return unseal(root, context, key.sealed)
        except KeysBehind:
            raise
        except CannotOpen as error:
            raise WrongRootKey(
                "The root key does not open this database: it was made with another one. Nothing was changed. "
                "Set WATCHWORD_ROOT_KEY or WATCHWORD_ROOT_KEY_FILE to the key this database was made with."
            ) from error

    def digest(self, text: str) -> bytes:
        """Return the keyed hash under which a credential of full entropy is stored and found."""
        mac = self._hmac.copy()  # the key is processed already: half the cost of `hmac.digest`
        mac.update(text.encode())
        return mac.finalize()

    def other_digests(self, text: str) -> dict[int, bytes]:
        """Return the keyed hashes with the other valid keys: those from before a rotation, and a staged one."""
        digests: dict[int, bytes] = {}
        for version, hasher in self._hashers.items():
            mac = hasher.copy()
            mac.update(text.encode())
            digests[version] = mac.finalize()
        return digests

    def digests(self, text: str) -> dict[int, bytes]:
        """Return all keyed hashes under which a credential may be stored, by key version; the current one first."""
        return {self.hash_version: self.digest(text), **self.other_digests(text)}

    async def make(self, tx: Tx, scope: str, parent: str | None = None) -> Sealer:
        """Create the first key of `scope`, below `parent` (a scope) or the root, in this unit."""
        if parent is None:
            key = self._instance_key(scope)
        else:
            above = await self.sealer(tx, parent)
            key = self.new_key(scope, 1, above)
        await data_keys.add_first(tx, [key])
        return await self._load(tx, scope)

    async def sealer(self, tx: Tx, scope: str) -> Sealer:
        """Return the sealer of `scope`, whose keys are read once and kept."""
        sealer = self._sealers.get(scope)
        if sealer is None:
            sealer = await self._load(tx, scope)
            if len(self._sealers) >= _KEPT:
                self._sealers.clear()
            self._sealers[scope] = sealer
        return sealer

    def ready(self, scope: str) -> Sealer | None:
        """Return the sealer of `scope` if its keys are open already."""
        return self._sealers.get(scope)

    async def _load(self, tx: Tx, scope: str) -> Sealer:
        rows = await data_keys.of_scopes(tx, (scope,))
        if not rows:
            raise CannotOpen(f"there is no key for {scope}")
        keys: dict[int, AESGCM] = {}
        for row in rows:
            parent = None if row.parent == "root" else await self.sealer(tx, row.parent)
            try:
                keys[row.version] = AESGCM(self._open_data_key(row, parent))
            except KeysBehind:  # the parent was rotated: its old sealer is forgotten by now
                keys[row.version] = AESGCM(self._open_data_key(row, await self.sealer(tx, row.parent)))
        newest = max(row.version for row in rows if row.is_active)
        return Sealer(scope, keys, newest, self._entropy, lambda scope: self._sealers.pop(scope, None))


def _hashes(key: DataKey, keys: Sequence[DataKey]) -> bool:
    """Whether credentials may be hashed with this key: active ones until they are revoked, and a staged one."""
    if key.scope != HMAC:
        return False
    return key.is_active or key.version > max(
        other.version for other in keys if other.scope == HMAC and other.is_active
    )


def _lacking(keys: Sequence[DataKey]) -> list[str]:
    existing = {key.scope for key in keys}
    return [scope for scope in (HMAC, SIGNING, PEOPLE) if scope not in existing]


def _fingerprint(key: bytes) -> int:
    return int.from_bytes(hashlib.sha256(b"watchword root key\x00" + key).digest()[:4], "big")
