"""Object storage: the only module that talks to obstore. A folder, S3, GCS or Azure, by URL.

Keys are `/`-joined names that this product made; a key never comes from a client unchecked.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, from_url

CHUNK_BYTES = 8 * 1024 * 1024
READ_S = 5.0
"""A player gives up on a segment after some ten seconds: better told in time to come again."""
AWAY_S = 1.0
"""After a read that was not answered in time, others are refused at once for so long, then one tries."""


class ObjectMissing(LookupError):  # noqa: N818 - states the fact
    """There is no object under that key."""


class StoreDown(Exception):  # noqa: N818 - states the fact
    """The store could not be reached or refused the operation."""


class ObjectStore:
    """Whole objects, by key: put, get, list, delete."""

    def __init__(self, url: str) -> None:
        """`url`: file:///path, s3://bucket/prefix, gs://bucket, az://container."""
        self.url = url
        self.provider = {"file": "file", "s3": "s3", "gs": "gcs", "az": "azure"}[url.split(":", 1)[0]]
        if self.provider == "file":
            root = Path(url.removeprefix("file://"))
            self._store = LocalStore(root, mkdir=True)
            self.folder: Path | None = root
            """Where the objects lie, for a store that is a folder."""
        else:
            self._store = from_url(url)  # type: ignore[assignment]  # all stores share the functions used here
            self.folder = None
        self._away_until = 0.0

    @property
    def bucket(self) -> str | None:
        """The bucket's name, for stores that have one."""
        return None if self.provider == "file" else self.url.split("//", 1)[1].split("/", 1)[0]

    async def alive(self) -> bool:
        """Whether the store answers."""
        try:
            async with asyncio.timeout(1):
                await obstore.head_async(self._store, "penstock-probe")
        except (NotFoundError, FileNotFoundError):
            return self._is_mounted()
        except (BaseError, OSError, TimeoutError):
            return False
        return True

    def _is_mounted(self) -> bool:
        """A folder that has gone away holds nothing, which does not mean that there is nothing."""
        return self.folder is None or self.folder.is_dir()

    async def get(self, key: str) -> bytes:
        """All bytes under `key`, within READ_S. Raises ObjectMissing, StoreDown."""
        now = time.monotonic()
        if now < self._away_until:
            raise StoreDown(f"{key}: the store did not answer a moment ago")
        if self._away_until:
            self._away_until = now + AWAY_S
        try:
            async with asyncio.timeout(READ_S):
                answer = await obstore.get_async(self._store, key)
                body = bytes(await answer.bytes_async())
            self._away_until = 0.0
            return body
        except (NotFoundError, FileNotFoundError) as error:
            self._away_until = 0.0
            if not self._is_mounted():
                raise StoreDown(f"{key}: the store's folder is not there") from error
            raise ObjectMissing(key) from error
        except TimeoutError as error:
            self._away_until = time.monotonic() + AWAY_S
            raise StoreDown(f"{key}: no answer within {READ_S:g} s") from error
        except (BaseError, OSError) as error:
            raise StoreDown(f"{key}: {error}") from error

    async def put(self, key: str, data: bytes | Path) -> None:
        """Stores bytes, or a file's bytes streamed in chunks, under `key`. Raises StoreDown."""
        with _down(key):
            await obstore.put_async(self._store, key, data, chunk_size=CHUNK_BYTES, max_concurrency=2)

    async def copy(self, source: str, target: str) -> None:
        """Gives the bytes under `source` a second key, within the store; in a folder they are linked. Raises StoreDown."""
        with _down(target):
            await obstore.copy_async(self._store, source, target)

    async def fetch_to(self, key: str, target: Path) -> None:
        """Writes the object into a local file, a chunk at a time. Raises ObjectMissing, StoreDown."""
        with _down(key), _missing(key):
            answer = await obstore.get_async(self._store, key)
            with target.open("wb") as out:
                async for chunk in answer.stream(min_chunk_size=CHUNK_BYTES):
                    out.write(chunk)

    async def digest(self, key: str) -> tuple[int, str]:
        """Size and SHA-256 (hex) of what the store gives back, read a chunk at a time. Raises ObjectMissing, StoreDown."""
        found, size_bytes = hashlib.sha256(), 0
        with _down(key), _missing(key):
            answer = await obstore.get_async(self._store, key)
            async for chunk in answer.stream(min_chunk_size=CHUNK_BYTES):
                await asyncio.to_thread(found.update, chunk)
                size_bytes += len(chunk)
        return size_bytes, found.hexdigest()

    async def keys(self, prefix: str) -> AsyncIterator[str]:
        """Every key under `prefix/`."""
        async for key, _ in self.sizes(prefix):
            yield key

    async def sizes(self, prefix: str) -> AsyncIterator[tuple[str, int]]:
        """Every key under `prefix/` with its bytes."""
        with _down(prefix):
            async for batch in obstore.list(self._store, prefix=prefix):
                for meta in batch:
                    yield meta["path"], meta["size"]

    async def sync(self, prefix: str) -> None:
        """Returns when everything under `prefix` would survive a power cut. Remote stores promise that at `put`."""
        if self.folder is not None:
            await asyncio.to_thread(_fsync_tree, self.folder, prefix)

    async def delete_prefix(self, prefix: str, keep: frozenset[str] = frozenset()) -> None:
        """Deletes every object under `prefix/` but the keys in `keep`."""
        keys = [key async for key in self.keys(prefix) if key not in keep]
        with _down(prefix):
            await obstore.delete_async(self._store, keys)
        if self.folder is not None:
            _remove_empty_folders(self.folder / prefix)


@contextmanager
def _down(what: str) -> Iterator[None]:
    """Says StoreDown of what the store cannot do with `what`."""
    try:
        yield
    except (BaseError, OSError) as error:
        raise StoreDown(f"{what}: {error}") from error


@contextmanager
def _missing(key: str) -> Iterator[None]:
    """Says ObjectMissing where there is nothing under `key`."""
    try:
        yield
    except (NotFoundError, FileNotFoundError) as error:
        raise ObjectMissing(key) from error


def _fsync_tree(root: Path, prefix: str) -> None:
    top = root / prefix
    # Up to the root: a new folder's name is kept by its parent.
    for path in (*top.rglob("*"), top, *(folder for folder in top.parents if folder.is_relative_to(root))):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _remove_empty_folders(top: Path) -> None:
    for folder in sorted((path for path in (top, *top.rglob("*")) if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
