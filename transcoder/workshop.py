"""What every attempt of one worker shares: the store, the scratch disk, the encoder, and the sources that it has fetched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from core import errors
from core.domain.media_encoding import USUAL, Encoding
from core.domain.media_tasks import Attempt
from core.errors import Refusal
from core.ids import uuid7
from core.keys import KeyRing
from core.objects import ObjectMissing, ObjectStore
from transcoder import encoder
from transcoder.encoder import Transient
from transcoder.ladder import USUAL_TOP, Plan
from transcoder.scratch import attempt_folder, free_bytes

# Raw and cut renditions lie side by side for a while, and others write to the disk too.
_ROOM_FACTOR = 1.3
_ROOM_BYTES = 256 << 20
# Encoders keep their ceilings over a second or two, not in every one; what goes beyond twice of all has gone wrong.
_EXCESS_FACTOR = 2
DEFAULT_CHUNK_S = 30


@dataclass(slots=True)
class _Fetched:
    """A source on our own disk: its place, how many attempts read it, and how to let it go."""

    path: asyncio.Task[Path]
    folder: ExitStack
    users: int = 0


@dataclass(slots=True)
class Workshop:
    """`chunk_s`: films of twice that are cut into chunks of about so many seconds; 0 never.

    `encoding`: for jobs that do not say otherwise; `ring`: what an encrypted title's key is sealed with;
    `top`: the most lines of any rendition.
    """

    store: ObjectStore
    scratch: Path
    ffmpeg: Path | None = None
    chunk_s: int = DEFAULT_CHUNK_S
    encoding: Encoding = USUAL
    ring: KeyRing | None = None
    top: int = USUAL_TOP
    _fetched: dict[str, _Fetched] = field(default_factory=dict)

    @property
    def exe(self) -> Path:
        """The ffmpeg to run."""
        return encoder.executable(self.ffmpeg)

    @asynccontextmanager
    async def source(self, attempt: Attempt) -> AsyncIterator[Path]:
        """The uploaded file on a local disk. Raises Refusal, Transient, StoreDown.

        What comes from a remote store is kept for the next chunk of the same film, and let go for another film's.
        """
        if self.store.provider == "file":
            path = Path(self.store.url.removeprefix("file://")) / attempt.storage_key
            if not await asyncio.to_thread(path.is_file):
                raise Refusal(errors.NOT_MEDIA, "The uploaded file is no longer in the store.")
            yield path
            return
        await self.let_go(keep=attempt.storage_key)
        held = self._fetched.get(attempt.storage_key)
        if held is None:
            stack = ExitStack()
            folder = stack.enter_context(attempt_folder(self.scratch, uuid7(), 0))
            held = _Fetched(asyncio.create_task(self._fetch(attempt, folder)), stack)
            self._fetched[attempt.storage_key] = held
        held.users += 1
        try:
            yield await asyncio.shield(held.path)
        finally:
            held.users -= 1
            if held.path.done() and (held.path.cancelled() or held.path.exception() is not None):
                self._fetched.pop(attempt.storage_key, None)
                held.folder.close()

    async def _fetch(self, attempt: Attempt, folder: Path) -> Path:
        if free_bytes(folder) < attempt.size_bytes * _ROOM_FACTOR + _ROOM_BYTES:
            raise Transient(Refusal(errors.DISK_FULL))
        try:
            await self.store.fetch_to(attempt.storage_key, folder / "source")
        except ObjectMissing as error:
            raise Refusal(errors.NOT_MEDIA, "The uploaded file is no longer in the store.") from error
        return folder / "source"

    async def let_go(self, keep: str | None = None) -> None:
        """Removes fetched sources that nobody reads, but for `keep`."""
        for key in [key for key, held in self._fetched.items() if key != keep and held.users == 0]:
            held = self._fetched.pop(key)
            held.path.cancel()
            await asyncio.wait((held.path,))
            held.folder.close()


def ring_of(shop: Workshop) -> KeyRing:
    """What keys are sealed with. Raises Transient: another worker may have one."""
    if shop.ring is None:
        raise Transient(Refusal(errors.NO_KEY_RING, hint="Set PENSTOCK_SECRET_KEYS for every worker."))
    return shop.ring


def check_room(scratch: Path, wanted: Plan, duration: Fraction) -> int:
    """Bytes of scratch that `duration` seconds of the plan may take. Raises Transient unless the disk has them."""
    bps = sum(rung.max_bps for rung in wanted.rungs) + sum(sound.bps for sound in wanted.sounds)
    need = int(2 * bps / 8 * float(duration) * _ROOM_FACTOR) + _ROOM_BYTES
    free = free_bytes(scratch)
    if free < need:
        text = f"Encoding needs {need / 1e9:.1f} GB of scratch space; {free / 1e9:.1f} GB are free."
        raise Transient(Refusal(errors.DISK_FULL, text))
    return need * _EXCESS_FACTOR
