"""A disk cache between memory and a store that is far away: whole objects in files, checked against their hash when read.

All web processes of a machine share the folder; a file is written beside its place and renamed, so nobody sees half of one,
and nothing is synced: what a power cut tears fails its check and is fetched again. A generation's objects never change,
so a file is good for as long as it lies there.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from secrets import token_hex

import structlog

from edge.hls.delivery import ReadObject
from edge.hls.stored import GROWING

log = structlog.get_logger(__name__)

MAGIC = b"PSDC1\n"
DIGEST_BYTES = 32
HEAD_BYTES = len(MAGIC) + DIGEST_BYTES
LARGEST_SHARE = 0.1
"""Of the budget; one larger object would push out too much else."""
SWEEP_SHARE = 0.05
"""Of the budget: after so many bytes written here the folder is looked through. Others write too: the sum is nearly kept."""
KEEP_SHARE = 0.9
TOUCH_S = 60
STALE_S = 3600


class DiskCache:
    """`read` in place of the store's own."""

    def __init__(self, folder: Path, budget_bytes: int, read: ReadObject) -> None:
        """`read` gives an object's bytes from the store. Raises OSError when the folder cannot be made."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._budget_bytes = budget_bytes
        self._read = read
        # At once after the start: what lies there may be more than today's budget.
        self._unswept_bytes = budget_bytes
        self._sweeping: asyncio.Task[None] | None = None
        self.hits = 0
        self.misses = 0
        self.spoilt = 0

    async def read(self, key: str) -> bytes:
        """The object under `key`. Raises what the store's read raises when it is not on the disk."""
        if key.endswith(GROWING):
            return await self._read(key)
        body = await asyncio.to_thread(self._find, key)
        if body is not None:
            self.hits += 1
            return body
        self.misses += 1
        body = await self._read(key)
        if len(body) <= self._budget_bytes * LARGEST_SHARE:
            await asyncio.to_thread(self._keep, key, body)
            self._unswept_bytes += len(body)
            if self._unswept_bytes > self._budget_bytes * SWEEP_SHARE and self._sweeping is None:
                self._unswept_bytes = 0
                self._sweeping = asyncio.create_task(asyncio.to_thread(self.sweep, time.time()))
                self._sweeping.add_done_callback(self._swept)
        return body

    def _swept(self, done: asyncio.Task[None]) -> None:
        self._sweeping = None
        if not done.cancelled() and (error := done.exception()) is not None:
            log.error("disk_cache_not_swept", error=f"{type(error).__name__}: {error}")

    def _path(self, key: str) -> Path:
        name = blake2b(key.encode(), digest_size=20).hexdigest()
        return self._folder / name[:2] / name

    def _find(self, key: str) -> bytes | None:
        """The checked bytes; a file that fails the check is dropped."""
        path = self._path(key)
        try:
            with path.open("rb") as file:
                stored = file.read()
                age_s = time.time() - os.fstat(file.fileno()).st_mtime
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("disk_cache_unreadable", error=str(error))
            return None
        body = stored[HEAD_BYTES:]
        if stored[:HEAD_BYTES] != MAGIC + _digest(key, body):
            self.spoilt += 1
            log.warning("disk_cache_spoilt", key=key, size_bytes=len(stored))
            with suppress(OSError):
                path.unlink()
            return None
        if age_s > TOUCH_S:
            # When it was last used decides who goes first; a write per hit would cost more than that is worth.
            with suppress(OSError):
                os.utime(path)
        return body

    def _keep(self, key: str, body: bytes) -> None:
        """Writes the file. A disk that is full or broken costs speed, nothing else."""
        path = self._path(key)
        fresh = path.with_name(f"{path.name}.{token_hex(4)}.new")
        try:
            path.parent.mkdir(exist_ok=True)
            with fresh.open("wb") as file:
                file.write(MAGIC + _digest(key, body))
                file.write(body)
            fresh.rename(path)
        except OSError as error:
            log.warning("disk_cache_not_written", error=str(error))
            with suppress(OSError):
                fresh.unlink()

    def sweep(self, now: float) -> None:
        """Deletes what was used longest ago until the folder is within its budget, and what a dead process left half-written."""
        files: list[tuple[float, int, Path]] = []
        for path in self._folder.glob("??/*"):
            try:
                state = path.stat()
            except FileNotFoundError:
                continue
            if path.suffix == ".new":
                if now - state.st_mtime > STALE_S:
                    path.unlink(missing_ok=True)
                continue
            files.append((state.st_mtime, state.st_size, path))
        total_bytes = sum(size for _, size, _ in files)
        if total_bytes <= self._budget_bytes:
            return
        for _, size, path in sorted(files):
            path.unlink(missing_ok=True)
            total_bytes -= size
            if total_bytes <= self._budget_bytes * KEEP_SHARE:
                return


def _digest(key: str, body: bytes) -> bytes:
    """Of the key as well: a file under another's name is as wrong as a torn one."""
    checked = blake2b(key.encode() + b"\0", digest_size=DIGEST_BYTES)
    checked.update(body)
    return checked.digest()
