"""Puts a finished folder into the object store, whole or not at all. Knows nothing of HLS and of the database."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.objects import ObjectMissing, ObjectStore, StoreDown
from transcoder.unsound import Rule, Unsound

PARALLEL_PUTS = 4
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was stored: bytes in all, SHA-256 over the sorted lines `name size hash`, and each object's (size, hash)."""

    size_bytes: int
    checksum: str
    objects: dict[str, tuple[int, str]]


async def publish(store: ObjectStore, folder: Path, prefix: str, moved: Callable[[float], None]) -> Manifest:
    """Stores every file of `folder` under `prefix`, the master last, and returns when it would survive a power cut.

    On any failure, being cancelled too, nothing is left there. `moved` is told the share done. Raises StoreDown, Unsound when
    the store gives back something else.
    """
    names = await asyncio.to_thread(_names, folder)
    objects: dict[str, tuple[int, str]] = {}
    gate = asyncio.Semaphore(PARALLEL_PUTS)

    async def put(name: str) -> None:
        async with gate:
            objects[name] = await asyncio.to_thread(_digest, folder / name)
            await _to_the_end(store.put(f"{prefix}/{name}", folder / name))
            moved(len(objects) / len(names))

    try:
        async with asyncio.TaskGroup() as group:
            for name in names[:-1]:
                group.create_task(put(name))
        await put(names[-1])
        # The disk is waited for while the processors read what was written.
        async with asyncio.TaskGroup() as group:
            group.create_task(_to_the_end(store.sync(prefix)))
            group.create_task(_read_back(store, prefix, objects))
    except BaseExceptionGroup as failures:
        await withdraw(store, prefix)
        raise _one_of(failures) from None
    except BaseException:
        await withdraw(store, prefix)
        raise
    lines = "".join(f"{name} {size} {digest}\n" for name, (size, digest) in sorted(objects.items()))
    checksum = f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"
    return Manifest(sum(size for size, _ in objects.values()), checksum, objects)


def _one_of(failure: BaseException) -> BaseException:
    """One cause is enough: the others follow from it or are the same."""
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure


async def _read_back(store: ObjectStore, prefix: str, objects: Mapping[str, tuple[int, str]]) -> None:
    """What is stored is compared with what was made: a name more, a name less or another byte is found before any viewer."""
    stored = {key.removeprefix(f"{prefix}/") async for key in store.keys(prefix)}
    for name in sorted(stored ^ set(objects)):
        raise Unsound(
            Rule.CHECKSUM, name, "is in the store and was not made" if name in stored else "is not in the store"
        )
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
