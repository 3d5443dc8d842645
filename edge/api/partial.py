"""Uploads that are not whole yet: a file that grows and a note of what it is to become, in one folder.

Of one that became it, the note stays for as long: a client that never saw our last answer asks how far it had come.

Written with aiofiles, so a slow disk holds up one upload and not the loop. A lock keeps two requests for the same upload
apart, across processes too; it goes when its holder dies.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import aiofiles
import msgspec
import structlog

from core.domain.media_encoding import AS_SET, Encoding
from core.domain.media_texts import NewText
from core.errors import BAD_FIELD, CHECKSUM_DIFFERS, DISK_FULL, UPLOAD_CONFLICT, UPLOAD_GONE, Fault, Refusal
from edge.api.tus import CHECKSUMS, Checksum

log = structlog.get_logger(__name__)

LIFE_S = 24 * 3600
SWEEP_S = 3600
SPARE_BYTES = 512 * 1024**2


class Note(msgspec.Struct, frozen=True):
    """What an upload is to become."""

    id: UUID
    length: int
    uploader_id: UUID | None
    tenant_id: UUID
    filename: str
    title: str
    content_type: str
    description: str | None
    is_free: bool
    language: str | None
    expires_at: float
    encoding: Encoding = AS_SET
    text: NewText | None = None
    """Subtitles of a title that is there already, rather than a film."""
    metadata: str = ""
    """Upload-Metadata as it came."""


@dataclass(slots=True)
class Partials:
    """The folder of unfinished uploads."""

    folder: Path

    def create(self, note: Note) -> None:
        """Begins an upload. Raises Refusal 507 when the disk could not hold it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        room = os.statvfs(self.folder)
        if room.f_bavail * room.f_frsize < note.length + SPARE_BYTES:
            raise Refusal(DISK_FULL, "There is no room for a file of that size.")
        self._part(note.id).touch()
        fresh = self._note(note.id).with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(note))
        fresh.rename(self._note(note.id))

    def note(self, upload_id: UUID, now: float) -> Note:
        """What `upload_id` is to become. Raises Refusal 410 when it is over or never was."""
        path = self._done(upload_id) if self.is_done(upload_id) else self._note(upload_id)
        try:
            note = msgspec.json.decode(path.read_bytes(), type=Note)
        except FileNotFoundError:
            raise Refusal(UPLOAD_GONE) from None
        if now > note.expires_at:
            self.remove(upload_id)
            raise Refusal(UPLOAD_GONE)
        return note

    def promised_bytes(self, tenant_id: UUID, now: float) -> int:
        """The sizes of all the uploads that the tenant has under way here, as they were announced."""
        return sum(note.length for note in self._notes() if note.tenant_id == tenant_id and note.expires_at >= now)

    def _notes(self) -> Iterator[Note]:
        for path in self.folder.glob("*.json") if self.folder.is_dir() else ():
            with suppress(FileNotFoundError):  # it was finished or given up meanwhile
                yield msgspec.json.decode(path.read_bytes(), type=Note)

    def is_done(self, upload_id: UUID) -> bool:
        """Whether it has become what it was to become."""
        return self._done(upload_id).exists()

    def offset(self, note: Note) -> int:
        """How many bytes have arrived. Raises Refusal 410 when it is given up at this moment."""
        if self.is_done(note.id):
            return note.length
        try:
            return self._part(note.id).stat().st_size
        except FileNotFoundError:
            raise Refusal(UPLOAD_GONE) from None

    def path(self, upload_id: UUID) -> Path:
        """The growing file."""
        return self._part(upload_id)

    @contextmanager
    def locked(self, upload_id: UUID) -> Iterator[None]:
        """Holds the upload. Raises Refusal 409 when another request does."""
        try:
            handle = os.open(self._part(upload_id), os.O_RDWR)
        except FileNotFoundError:
            raise Refusal(UPLOAD_GONE) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise Refusal(UPLOAD_CONFLICT, "Another request is sending to this upload.") from None
        try:
            if not os.fstat(handle).st_nlink:
                # Another process had it between our opening and our locking, and it is no more.
                raise Refusal(UPLOAD_GONE)
            yield
        finally:
            os.close(handle)

    async def append(self, note: Note, offset: int, chunks: AsyncIterator[bytes], wanted: Checksum | None) -> int:
        """Writes `chunks` at `offset` and returns the new offset.

        What arrived before the client left is kept, unless a checksum was to vouch for it. Raises Refusal: 409 for another offset,
        422 for more than announced, 460 for another checksum, 507 for a full disk; and ConnectionError when the client leaves.
        """
        here = self.offset(note)
        if offset != here:
            raise Refusal(UPLOAD_CONFLICT, f"The upload is at {here}.", data={"offset": here})
        hasher = CHECKSUMS[wanted.algorithm]() if wanted else None
        async with aiofiles.open(self._part(note.id), "r+b") as out:
            await out.seek(here)
            try:
                async for chunk in chunks:
                    if here + len(chunk) > note.length:
                        raise Refusal(
                            BAD_FIELD, "More bytes than Upload-Length says.", faults=(Fault("body", "is too long"),)
                        )
                    await out.write(chunk)
                    here += len(chunk)
                    if hasher:
                        hasher.update(chunk)
            except (ConnectionError, asyncio.CancelledError):
                if wanted:
                    await out.truncate(offset)
                raise
            except OSError as error:
                await out.truncate(offset)
                raise Refusal(DISK_FULL) from error
            except Refusal:
                await out.truncate(offset)
                raise
            finally:
                await out.flush()
            if hasher and wanted and hasher.digest() != wanted.digest:
                await out.truncate(offset)
                raise Refusal(CHECKSUM_DIFFERS, faults=(Fault("Upload-Checksum", "does not match"),))
        return here

    def finish(self, upload_id: UUID) -> None:
        """It has become what it was to become: its bytes go, and what is still said of it is that it is whole."""
        self._note(upload_id).rename(self._done(upload_id))
        self._part(upload_id).unlink(missing_ok=True)

    def remove(self, upload_id: UUID) -> None:
        """Forgets the upload and its bytes."""
        for path in (self._note(upload_id), self._done(upload_id), self._part(upload_id)):
            path.unlink(missing_ok=True)

    async def keep(self) -> None:
        """For ever: removes what has expired, every hour."""
        while True:
            if swept := await asyncio.to_thread(self.sweep, time.time()):
                log.info("uploads_expired", count=swept)
            await asyncio.sleep(SWEEP_S)

    def sweep(self, now: float) -> int:
        """Removes what has expired; how many."""
        swept = 0
        for path in [*self.folder.glob("*.part"), *self.folder.glob("*.done")] if self.folder.is_dir() else ():
            with suppress(FileNotFoundError):  # it was finished or given up meanwhile
                if path.stat().st_mtime < now - 2 * LIFE_S:
                    self.remove(UUID(path.stem))
                    swept += 1
        return swept

    def _part(self, upload_id: UUID) -> Path:
        return self.folder / f"{upload_id}.part"

    def _note(self, upload_id: UUID) -> Path:
        return self.folder / f"{upload_id}.json"

    def _done(self, upload_id: UUID) -> Path:
        return self.folder / f"{upload_id}.done"


def checksum_of(path: Path) -> str:
    """`sha256:<hex>` of a file; run it in a thread."""
    with path.open("rb") as source:
        return f"sha256:{hashlib.file_digest(source, 'sha256').hexdigest()}"


def expires_at(now: float) -> float:
    """When an upload begun now is given up."""
    return now + LIFE_S
