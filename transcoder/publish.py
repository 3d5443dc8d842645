"""Puts a finished folder into the object store, whole or not at all. Knows nothing of HLS and of the database."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.objects import ObjectMissing, ObjectStore, StoreDown
from transcoder.unsound import Rule, Unsound, expect

PARALLEL_PUTS = 4
# A copy within a remote store costs it some 20 ms and us nothing.
PARALLEL_COPIES = 32
SUMS = "objects.sha256"
"""Of every generation: a line `name size hash` for each other object, sorted. Players are never given it."""
_CHUNK_BYTES = 1 << 20

Sums = Mapping[str, tuple[int, str]]
"""Objects of a generation by name: size in bytes and SHA-256 in hex."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was stored: bytes in all, SHA-256 over the lines of SUMS, and each object's (size, hash)."""

    size_bytes: int
    checksum: str
    objects: Sums


@dataclass(frozen=True, slots=True)
class Kept:
    """Objects of another generation, below `prefix`, that this one has too under the same names."""

    prefix: str
    objects: Sums


NOTHING = Kept("", {})


def write_sums(objects: Sums) -> bytes:
    """The contents of SUMS."""
    return "".join(f"{name} {size} {digest}\n" for name, (size, digest) in sorted(objects.items())).encode()


def checksum_of(sums: bytes) -> str:
    """A generation's checksum."""
    return f"sha256:{hashlib.sha256(sums).hexdigest()}"


def read_sums(sums: bytes, checksum: str) -> Sums:
    """What a generation with this checksum consists of. Raises Unsound."""
    expect(checksum_of(sums) == checksum, Rule.CHECKSUM, SUMS, "is not what was stored with the generation")
    lines = (line.rsplit(" ", 2) for line in sums.decode().splitlines())
    return {name: (int(size), digest) for name, size, digest in lines}


async def publish(
    store: ObjectStore,
    folder: Path,
    prefix: str,
    moved: Callable[[float], None],
    kept: Kept = NOTHING,
    *,
    is_listed: bool = True,
) -> Manifest:
    """Stores every file of `folder` and every object of `kept` under `prefix`, the master last, and returns when it would
    survive a power cut. `is_listed`: SUMS is stored beside them.

    On any failure, being cancelled too, nothing is left there. `moved` is told the share done. Raises StoreDown, Unsound when
    the store gives back something else.
    """
    names = await asyncio.to_thread(_names, folder)
    made = dict[str, tuple[int, str]]()
    done, total = 0, len(names) + len(kept.objects)
    putting, copying = asyncio.Semaphore(PARALLEL_PUTS), asyncio.Semaphore(PARALLEL_COPIES)

    async def put(name: str) -> None:
        nonlocal done
        async with putting:
            made[name] = await asyncio.to_thread(_digest, folder / name)
            await _to_the_end(store.put(f"{prefix}/{name}", folder / name))
            moved((done := done + 1) / total)

    async def copy(name: str) -> None:
        nonlocal done
        async with copying:
            await _to_the_end(_copy(store, f"{kept.prefix}/{name}", f"{prefix}/{name}"))
            moved((done := done + 1) / total)

    try:
        async with asyncio.TaskGroup() as group:
            for name in kept.objects:
                group.create_task(copy(name))
            for name in names[:-1]:
                group.create_task(put(name))
        made[names[-1]] = await asyncio.to_thread(_digest, folder / names[-1])
        objects = {**kept.objects, **made}
        sums = write_sums(objects)
        wanted = dict(objects)
        if is_listed:
            await _to_the_end(store.put(f"{prefix}/{SUMS}", sums))
            wanted[SUMS] = (len(sums), "")
        await put(names[-1])
        stored = {key.removeprefix(f"{prefix}/"): size async for key, size in store.sizes(prefix)}
        _compare_sizes(stored, wanted)
        # The disk is waited for while the processors read what was written.
        async with asyncio.TaskGroup() as group:
            group.create_task(_to_the_end(store.sync(prefix)))
            group.create_task(_read_back(store, prefix, made))
    except BaseExceptionGroup as failures:
        await withdraw(store, prefix)
        raise _one_of(failures) from None
    except BaseException:
        await withdraw(store, prefix)
        raise
    return Manifest(sum(size for size, _ in wanted.values()), checksum_of(sums), objects)


async def _copy(store: ObjectStore, source: str, target: str) -> None:
    """A link where the store is a folder that has links; some shares have none."""
    try:
        await store.copy(source, target)
    except StoreDown:
        if store.folder is None:
            raise
        await store.put(target, store.folder / source)


def _compare_sizes(stored: Mapping[str, int], wanted: Sums) -> None:
    """A name more, a name less or another size. What was copied was read when it was first stored, and is not read again."""
    for name in sorted(stored.keys() ^ wanted.keys()):
        raise Unsound(
            Rule.CHECKSUM, name, "is in the store and was not made" if name in stored else "is not in the store"
        )
    for name, (size, _) in wanted.items():
        expect(stored[name] == size, Rule.CHECKSUM, name, "is not what was made")


def _one_of(failure: BaseException) -> BaseException:
    """One cause is enough: the others follow from it or are the same."""
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure


async def _read_back(store: ObjectStore, prefix: str, objects: Sums) -> None:
    """What is stored is compared with what was made: another byte is found before any viewer finds it."""
    gate = asyncio.Semaphore(PARALLEL_PUTS)

    async def compare(name: str) -> None:
        async with gate:
            key = f"{prefix}/{name}"
            try:
                # A folder's files are read as they are: a client in between takes four times as long.
                reading = store.digest(key) if store.folder is None else asyncio.to_thread(_digest, store.folder / key)
                found = await reading
            except (ObjectMissing, FileNotFoundError):
                raise Unsound(Rule.CHECKSUM, name, "is not in the store") from None
        if found != objects[name]:
            raise Unsound(Rule.CHECKSUM, name, "is not what was made")

    async with asyncio.TaskGroup() as group:
        for name in objects:
            group.create_task(compare(name))


async def _to_the_end(work: Coroutine[object, object, None]) -> None:
    """Awaits `work` even when cancelled: a store's client writes on without its caller, after our deletion too."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        if not task.cancelled():
            task.exception()  # looked at: what matters now is that it has ended
        raise


async def withdraw(store: ObjectStore, prefix: str) -> bool:
    """Deletes everything under `prefix`, to the end even when cancelled; False when the store could not."""

    async def delete() -> bool:
        try:
            await store.delete_prefix(prefix)
        except (StoreDown, OSError):
            return False
        return True

    return await asyncio.shield(asyncio.ensure_future(delete()))


def _names(folder: Path) -> list[str]:
    names = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return sorted(names, key=lambda name: (name == "master.m3u8", name))


def _digest(path: Path) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()
