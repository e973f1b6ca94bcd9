"""The coherent cache: an entry is used only while the versions it was loaded under are the current ones.

There is no time to live. A request that begins after a change was answered reads versions after it began, finds the
entry's stamp old, and loads again. Loads of one key are shared by all requests that wait for it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from watchword.domain.generations import Generations
from watchword.store.batches import Batches
from watchword.store.engine import Store, Tx

Loaded = tuple[Any, tuple[str, ...]]  # a value, and its version keys
Load = Callable[..., Awaitable[Loaded]]  # called with a view and the caller's further arguments
LoadMany = Callable[[Tx, Sequence[Any]], Awaitable[Mapping[Any, Loaded]]]
_NONE = -1  # no version key has this version
_AT_ONCE = 2  # views open at the same time


class CacheEntry(msgspec.Struct, frozen=True, gc=False):
    """A value, and the version keys it depends on with their versions when it was loaded."""

    value: Any
    stamp: tuple[tuple[str, int], ...]

    @property
    def version_keys(self) -> tuple[str, ...]:
        """The version keys that the value depends on."""
        return tuple([version_key for version_key, _ in self.stamp])


class LoadEach:
    """A loader that can load several values at once.

    `each` takes the view and, for each value, the further arguments of its load.
    """

    def __init__(self, load: Callable[[Tx, Sequence[Any]], Awaitable[Sequence[Loaded]]]) -> None:
        self.each = load

    async def __call__(self, tx: Tx, *about: Any) -> Loaded:
        """Load one value."""
        (loaded,) = await self.each(tx, [about])
        return loaded


_Wanted = tuple[Load, tuple[Any, ...]]


async def _loaded(tx: Tx, batch: Sequence[_Wanted]) -> list[Loaded]:
    """Run the loads of a batch, in their order; loads with the same `LoadEach` run as one."""
    loaded: dict[int, Loaded] = {}
    by_loader: dict[LoadEach, list[int]] = {}
    for index, (load, about) in enumerate(batch):
        if isinstance(load, LoadEach):
            by_loader.setdefault(load, []).append(index)
        else:
            loaded[index] = await load(tx, *about)
    for each, indexes in by_loader.items():
        loaded.update(zip(indexes, await each.each(tx, [batch[index][1] for index in indexes]), strict=True))
    return [loaded[index] for index in range(len(batch))]


async def _stamped(tx: Tx, loaded: Sequence[Loaded]) -> list[CacheEntry]:
    """Make entries of the values loaded in this view, stamped with the versions it sees."""
    unique = tuple({version_key for _, version_keys in loaded for version_key in version_keys})
    versions = dict(zip(unique, await tx.versions(unique), strict=True)) if unique else {}
    return [
        CacheEntry(value, tuple([(version_key, versions[version_key]) for version_key in version_keys]))
        for value, version_keys in loaded
    ]


class Cache:
    """A cache bounded by weight: the least recently loaded or used half is dropped when it is full.

    A value weighs 1, or its `weight` where it has one. Values with a weight have a space of their own, of the same
    size: a few folders full of secrets do not push out the abilities of thousands of identities, which are costly to
    compute again.
    """

    def __init__(self, store: Store, capacity: int) -> None:
        self._store = store
        self._light: Generations[Hashable, CacheEntry] = Generations(capacity)
        self._heavy: Generations[Hashable, CacheEntry] = Generations(capacity)
        self._loading: dict[Hashable, asyncio.Future[CacheEntry]] = {}
        self._views = None if store.is_inline else Batches(self._together, at_once=_AT_ONCE)

    def __len__(self) -> int:
        return len(self._light) + len(self._heavy)

    def peek(self, key: Hashable) -> CacheEntry | None:
        """Return the entry without checking its versions: good only for knowing its version keys."""
        entry = self._light.young.get(key) or self._heavy.young.get(key)
        if entry is None:
            entry = self._light.old.get(key) or self._heavy.old.get(key)
            if entry is not None:
                self._keep(key, entry)
        return entry

    def _keep(self, key: Hashable, entry: CacheEntry) -> None:
        weight: int | None = getattr(entry.value, "weight", None)
        room, other = (self._light, self._heavy) if weight is None else (self._heavy, self._light)
        other.drop(key)  # the value may have gained or lost its weight
        room.keep(key, entry, weight or 1)

    def drop(self, key: Hashable) -> None:
        """Forget one entry."""
        self._light.drop(key)
        self._heavy.drop(key)

    async def load(self, key: Hashable, load: Load, *about: Any) -> CacheEntry:
        """Read the value and the versions of its version keys in one snapshot, and keep them."""
        waiting = self._loading.get(key)
        if waiting is not None:
            # That load may have taken its snapshot before this call; a load that begins now has not.
            await asyncio.wait([waiting])
            while (waiting := self._loading.get(key)) is not None:
                await asyncio.wait([waiting])
                if not waiting.cancelled():  # cancelled with its owner's request, which is not this one
                    return waiting.result()
        future: asyncio.Future[CacheEntry] = asyncio.get_running_loop().create_future()
        self._loading[key] = future
        try:
            entry = await (self._alone(load, about) if self._views is None else self._views.ask((load, about)))
        except BaseException as error:
            if isinstance(error, Exception):
                future.set_exception(error)
                future.exception()
            else:
                future.cancel()
            raise
        else:
            future.set_result(entry)
            if entry.stamp:  # a value that depends on nothing (a wrong guess) is not worth keeping
                self._keep(key, entry)
            return entry
        finally:
            del self._loading[key]

    async def _alone(self, load: Load, about: tuple[Any, ...]) -> CacheEntry:
        async with self._store.read() as tx:
            (entry,) = await _stamped(tx, [await load(tx, *about)])
            return entry

    async def _together(self, wanted: Sequence[_Wanted]) -> list[CacheEntry]:
        """Run loads that wait at the same moment in one view, and read their versions together.

        Over a network, beginning a view, reading versions in it and ending it costs three times what most loads do.
        Few views are open at once, so that loads gather; more than one, so that a slow load does not hold up all
        others.
        """
        async with self._store.read() as tx:
            return await _stamped(tx, await _loaded(tx, wanted))

    async def load_many(self, keys: Sequence[Hashable], load: LoadMany) -> Mapping[Hashable, CacheEntry]:
        """Read the values of several keys and the versions of their version keys in one snapshot, and keep them."""
        async with self._store.read() as tx:
            loaded = await load(tx, keys)
            entries = dict(zip(loaded, await _stamped(tx, list(loaded.values())), strict=True))
        for key, entry in entries.items():
            if entry.stamp:
                self._keep(key, entry)
        return entries


class ConsistentReads:
    """Cached reads of one request that are never older than the request.

    Where the store has the versions in memory, they are looked up there; else each version key is read at most once,
    and together with others if possible.
    """

    __slots__ = ("_absent", "_before", "_cache", "_known", "_store", "needs_roundtrip")

    def __init__(self, store: Store, cache: Cache) -> None:
        self._store = store
        self._cache = cache
        self._before: tuple[str, ...] = ()  # version keys read before the last `invalidate`
        self._begin()

    def _begin(self) -> None:
        cached = self._store.cached()
        self.needs_roundtrip = cached is None  # whether reading a version costs a round trip, which may be shared
        self._known, self._absent = ({}, _NONE) if cached is None else cached

    async def prefetch(self, version_keys: Iterable[str]) -> None:
        """Read the versions of version keys that will probably be needed, in one round trip."""
        if self.needs_roundtrip:
            unseen = tuple([version_key for version_key in version_keys if version_key not in self._known])
            if unseen:
                self._learn(zip(unseen, await self._store.versions(unseen), strict=True))

    def version(self, version_key: str) -> int:
        """Return the version of a version key that was read already; else a number that no version key has."""
        return self._known.get(version_key, self._absent)

    @property
    def version_keys(self) -> tuple[str, ...]:
        """All version keys read so far, where reading one costs a round trip."""
        return (*self._before, *self._known) if self.needs_roundtrip else ()

    def _learn(self, stamp: Iterable[tuple[str, int]]) -> None:
        if self.needs_roundtrip:
            self._known.update(stamp)

    def _holds(self, entry: CacheEntry) -> bool:
        known, absent = self._known, self._absent
        for version_key, version in entry.stamp:  # noqa: SIM110 - `all` would make a generator, which costs as much as the rest
            if known.get(version_key, absent) != version:
                return False
        return True

    async def cached(self, key: Hashable) -> Any:
        """Return the value of `key` if it need not be loaded; None otherwise."""
        entry = self._cache.peek(key)
        if entry is None:
            return None
        if self._holds(entry):
            return entry.value
        await self.prefetch(entry.version_keys)
        return entry.value if self._holds(entry) else None

    async def get(self, key: Hashable, load: Load, *about: Any) -> Any:
        """Return the value of `key` as it was at some moment after this request arrived.

        It is cached, or loaded by `load(tx, *about)`. A module-level loader that takes `about` is not made again for
        each request, as a nested function is.
        """
        entry = self._cache.peek(key)
        if entry is not None:
            if self._holds(entry):
                return entry.value
            await self.prefetch(entry.version_keys)
            if self._holds(entry):
                return entry.value
        entry = await self._cache.load(key, load, *about)
        self._learn(entry.stamp)
        return entry.value

    async def many(self, keys: Sequence[Hashable], load: LoadMany) -> dict[Hashable, Any]:
        """Return the values of several keys: one round trip for cached ones, one view for all that must be loaded."""
        entries = {key: self._cache.peek(key) for key in keys}
        await self.prefetch(
            {version_key for entry in entries.values() if entry is not None for version_key in entry.version_keys}
        )
        values = {key: entry.value for key, entry in entries.items() if entry is not None and self._holds(entry)}
        missing = [key for key in keys if key not in values]
        if missing:
            for key, entry in (await self._cache.load_many(missing, load)).items():
                self._learn(entry.stamp)
                values[key] = entry.value
        return values

    async def depends(self, version_keys: Iterable[str]) -> None:
        """Say that what is read next, and not through the cache, belongs to these version keys.

        Only reads that are waited upon (`TrackedReads`) take note of it.
        """

    def invalidate(self) -> None:
        """Read versions again from here on, because this request itself changed something."""
        self._before = self.version_keys
        self._begin()


class TrackedReads(ConsistentReads):
    """Cached reads that keep which version of each version key they saw, so that a change of them can be waited for.

    `seen` has the earliest version where a request saw several: a wait for another one then ends at once.
    """

    __slots__ = ("seen",)

    def __init__(self, store: Store, cache: Cache) -> None:
        super().__init__(store, cache)
        self.seen: dict[str, int] = {}

    def _holds(self, entry: CacheEntry) -> bool:
        is_current = super()._holds(entry)
        if is_current:
            self._note(entry.stamp)
        return is_current

    def _learn(self, stamp: Iterable[tuple[str, int]]) -> None:
        stamp = tuple(stamp)
        self._note(stamp)
        super()._learn(stamp)

    def _note(self, stamp: Iterable[tuple[str, int]]) -> None:
        for version_key, version in stamp:
            self.seen.setdefault(version_key, version)

    async def depends(self, version_keys: Iterable[str]) -> None:
        """Note the present versions of version keys: what is read next is at least as new."""
        version_keys = tuple(version_keys)
        await self.prefetch(version_keys)
        self._note([(version_key, self.version(version_key)) for version_key in version_keys])
