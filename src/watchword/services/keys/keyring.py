"""The keyring: root key -> organization key -> project key, and the instance's own keys.

Data keys live in the database, each sealed under its parent. They never change once made (a rotation adds a version),
so an opened key may be kept in memory without asking whether it is still right. That there is a newer version is
noticed by
`refresh`, every few seconds, and whenever a value turns up that was sealed with a version not known here. Who rotates
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
    """The root key given does not open this database's keys."""


class KeysBehind(CannotOpen, Unavailable):
    """A value was sealed with a key version that this process has not read yet; it will have by the next try."""

    default = "The keys were rotated a moment ago, try again"


def org_scope(org_id: str) -> str:
    """The key scope of an organization."""
    return f"org/{org_id}"


def project_scope(project_id: str) -> str:
    """The key scope of a project."""
    return f"project/{project_id}"


class Sealer:
    """Seals and opens values of one scope. Get one from `Keyring.sealer`."""

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
        """`plain` sealed with the newest key, bound to this scope and `context`."""
        return seal(self._keys[self.newest], self.newest, self._entropy(12), f"{self.scope}/{context}", plain)

    def open(self, context: str, envelope: bytes) -> bytes:
        """What was sealed for `context`. Raises CannotOpen."""
        return self.opened(self.taken_apart(context, envelope))

    def taken_apart(self, context: str, envelope: bytes) -> Envelope:
        """An envelope that was sealed for `context`, ready to be opened many times. Raises CannotOpen."""
        return Envelope.of(f"{self.scope}/{context}", envelope)

    def opened(self, envelope: Envelope) -> bytes:
        """What is in it. Raises CannotOpen."""
        return self.opened_every((envelope,))[0]

    def opened_every(self, envelopes: Sequence[Envelope]) -> list[bytes]:
        """What is in each of them. Raises CannotOpen."""
        try:
            return Envelope.open_every(self._keys, envelopes)
        except KeyError:
            self._behind(self.scope)
            raise KeysBehind from None

    def reseal(self, context: str, envelope: bytes) -> bytes:
        """The same value under the newest key; the very same envelope if it is already."""
        return envelope if key_version(envelope) == self.newest else self.seal(context, self.open(context, envelope))

    def reseal_text(self, context: str, sealed: str) -> str:
        """The same for a sealed text."""
        return base64.b64encode(self.reseal(context, base64.b64decode(sealed))).decode()

    def seal_text(self, context: str, plain: str) -> str:
        """A sealed text as base64, for JSON columns."""
        return base64.b64encode(self.seal(context, plain.encode())).decode()

    def open_text(self, context: str, sealed: str) -> str:
        """The text of `seal_text`."""
        return self.open(context, base64.b64decode(sealed)).decode()


class Keyring:
    """All keys that are open. `open()` must have succeeded before anything else is asked."""

    def __init__(
        self, root: bytes, entropy: Callable[[int], bytes], clock: Callable[[], int], previous: bytes | None = None
    ) -> None:
        # Key versions of the root are told apart by a fingerprint of the key, so a rotated root never opens by
        # accident.
        self._roots = {_fingerprint(key): AESGCM(key) for key in (root, previous) if key is not None}
        self.root_version = _fingerprint(root)
        self._seen = -1
        self.checked = -1  # the version of the keys at which it was last looked which of them are still good
        self._reading = asyncio.Lock()
        self._headers: dict[int, str] = {}  # of signing keys, by version
        self._entropy = entropy
        self._clock = clock
        self._sealers: dict[str, Sealer] = {}
        self._hmac: hmac.HMAC
        self.hash_version = 1  # of the key that credentials are hashed with from now on
        self._hashers: dict[int, hmac.HMAC] = {}  # by version: the others that may have been hashed with
        self.signer: Signer
        self.verifiers: dict[str, VerifyKey] = {}
        self.jwks: dict[str, list[dict[str, str]]] = {"keys": []}

    def __repr__(self) -> str:
        return "Keyring(***)"

    def require_opens(self, sealed: Iterable[tuple[str, int, bytes]]) -> None:
        """Raise WrongRootKey unless the root key opens these keys below it: (scope, version, sealed)."""
        for scope, version, envelope in sealed:
            key = DataKey(scope=scope, version=version, parent="root", parent_version=0, sealed=envelope, created_at=0)
            self._open_data_key(key, None)

    async def open(self, store: Store) -> None:
        """Open the instance's keys, making them in an empty database.

        Raises WrongRootKey before anything is changed.
        """
        async with store.read() as tx:
            found = await data_keys.of_scopes(tx, _OF_THE_INSTANCE)
            (self._seen,) = await tx.versions((versions.keys(),))
        self.checked = self._seen
        for key in found:
            self._open_data_key(key, None)
        if _lacking(found):
            found = await self._make_lacking(store)
        self._use(found)

    async def _make_lacking(self, store: Store) -> list[DataKey]:
        # Two servers may start on an empty database at once: the first makes the keys, the other takes them.
        with contextlib.suppress(AlreadyThere):
            async with store.write() as tx:
                made = [
                    self._instance_key(scope) for scope in _lacking(await data_keys.of_scopes(tx, _OF_THE_INSTANCE))
                ]
                await data_keys.add_first(tx, made)
        async with store.read() as tx:
            return await data_keys.of_scopes(tx, _OF_THE_INSTANCE)

    async def refresh(self, store: Store) -> bool:
        """Read the keys again if a rotation changed some; whether it did.

        Raises WrongRootKey, and keeps what is open.
        """
        (now,) = await store.versions((versions.keys(),))
        if now == self._seen:
            self.checked = now
            return False
        async with store.read() as tx:
            found = await data_keys.of_scopes(tx, _OF_THE_INSTANCE)
            (seen,) = await tx.versions((versions.keys(),))
        self._let_go(found)
        self.checked = seen
        self._use(found)
        self._sealers = {}
        self._seen = seen
        return True

    async def catch_up(self, store: Store, version: int) -> None:
        """Know of every key that was ended at this version of the keys, or later.

        Requests that come together read once. Without the root key of now there are no new keys, but what was ended is
        forgotten.
        """
        async with self._reading:
            if version != self.checked:
                with contextlib.suppress(WrongRootKey):  # `refresh` says so in the log, every few seconds
                    await self.refresh(store)

    def _let_go(self, found: Sequence[DataKey]) -> None:
        """Forget the keys that are retired or revoked; for this no key need be opened."""
        hashing = {key.version for key in found if _hashes(key, found)}
        self._hashers = {version: hasher for version, hasher in self._hashers.items() if version in hashing}
        newest = max(key.version for key in found if key.scope == SIGNING and key.is_active)
        good = {key.version for key in found if key.scope == SIGNING and (key.is_active or key.version > newest)}
        ended = {header for version, header in self._headers.items() if version not in good}
        if ended:
            self.verifiers = {header: key for header, key in self.verifiers.items() if header not in ended}
            points = {jwk_point(key) for key in self.verifiers.values()}
            self.jwks = {"keys": [jwk for jwk in self.jwks["keys"] if jwk["x"] in points]}
            self._headers = {version: header for version, header in self._headers.items() if version in good}

    def _use(self, found: Sequence[DataKey]) -> None:
        verifiers: dict[str, VerifyKey] = {}
        headers: dict[int, str] = {}
        jwks: list[dict[str, str]] = []
        newest = max(key.version for key in found if key.scope == SIGNING and key.is_active)
        hashers = {
            key.version: hmac.HMAC(self._open_data_key(key, None), hashes.SHA256())
            for key in found
            if _hashes(key, found)
        }
        for key in found:
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
        if verifiers.keys() != self.verifiers.keys():  # else the same dictionary: what was verified with it stays known
            self.verifiers = verifiers
        self._headers, self.jwks = headers, {"keys": jwks}
        self.hash_version = max(key.version for key in found if key.scope == HMAC and key.is_active)
        self._hmac = hashers.pop(self.hash_version)
        self._hashers = hashers

    def _instance_key(self, scope: str) -> DataKey:
        return self.new_key(scope, 1)

    def new_key(self, scope: str, version: int, parent: Sealer | None = None) -> DataKey:
        """A new version of a scope's key, sealed under its parent's newest or the root, not stored yet."""
        if parent is None:
            return self._new_key(scope, version, "root", self.root_version, self._roots[self.root_version])
        return self._new_key(scope, version, parent.scope, parent.newest, parent)

    def under_root(self, key: DataKey) -> DataKey:
        """A key below the root, sealed anew with the root key of now. Raises WrongRootKey."""
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
        """The keyed hash under which a credential of full entropy is stored and found."""
        made = self._hmac.copy()  # with the key worked in already: half as dear as `hmac.digest`
        made.update(text.encode())
        return made.finalize()

    def other_digests(self, text: str) -> dict[int, bytes]:
        """What `digest` would have answered with the other keys that are good: those before a rotation, and one
        that is about to be used.
        """
        found: dict[int, bytes] = {}
        for version, hasher in self._hashers.items():
            made = hasher.copy()
            made.update(text.encode())
            found[version] = made.finalize()
        return found

    def digests(self, text: str) -> dict[int, bytes]:
        """All keyed hashes under which a credential may be stored, by the version of the key; the one of now first."""
        return {self.hash_version: self.digest(text), **self.other_digests(text)}

    async def make(self, tx: Tx, scope: str, parent: str | None = None) -> Sealer:
        """Make the first key of `scope`, below `parent` (a scope) or the root, in this unit."""
        if parent is None:
            key = self._instance_key(scope)
        else:
            above = await self.sealer(tx, parent)
            key = self.new_key(scope, 1, above)
        await data_keys.add_first(tx, [key])
        return await self._load(tx, scope)

    async def sealer(self, tx: Tx, scope: str) -> Sealer:
        """The sealer of `scope`, whose keys are read once and kept."""
        found = self._sealers.get(scope)
        if found is None:
            found = await self._load(tx, scope)
            if len(self._sealers) >= _KEPT:
                self._sealers.clear()
            self._sealers[scope] = found
        return found

    def ready(self, scope: str) -> Sealer | None:
        """The sealer of `scope` if its keys are already open."""
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
            except KeysBehind:  # the parent was rotated: what we held of it is forgotten by now
                keys[row.version] = AESGCM(self._open_data_key(row, await self.sealer(tx, row.parent)))
        newest = max(row.version for row in rows if row.is_active)
        return Sealer(scope, keys, newest, self._entropy, lambda scope: self._sealers.pop(scope, None))


def _hashes(key: DataKey, found: Sequence[DataKey]) -> bool:
    """Whether credentials may be hashed with this key: the active one, earlier ones until they are retired, one
    that is staged.
    """
    if key.scope != HMAC:
        return False
    return key.is_active or key.version > max(one.version for one in found if one.scope == HMAC and one.is_active)


def _lacking(found: Sequence[DataKey]) -> list[str]:
    there = {key.scope for key in found}
    return [scope for scope in (HMAC, SIGNING, PEOPLE) if scope not in there]


def _fingerprint(key: bytes) -> int:
    return int.from_bytes(hashlib.sha256(b"watchword root key\x00" + key).digest()[:4], "big")
