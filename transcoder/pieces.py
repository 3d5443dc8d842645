"""The pieces of a long film: one chunk's pictures, all its sounds and subtitles, and fetching them for the joining.

A chunk's pictures are frame for frame those of a whole run; sound is never cut, since each encoder begins with a gap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from core import errors
from core.domain.media_tasks import Attempt
from core.errors import Refusal
from core.objects import ObjectMissing
from transcoder import encode, encoder
from transcoder.abilities import check_abilities
from transcoder.encode_picture import video_file
from transcoder.encode_sound import audio_file, even_argv, even_file, measure_argv
from transcoder.encoder import Transient
from transcoder.ladder import PLAIN, Plan, Wishes, decide_chunks, plan
from transcoder.loudness import Loudness, read_summaries
from transcoder.progress import Progress
from transcoder.publish import PARALLEL_PUTS, publish
from transcoder.samples import check_files
from transcoder.source import Source
from transcoder.status import Status
from transcoder.witness import encode_witnessed
from transcoder.workshop import Workshop, check_room

log = structlog.get_logger(__name__)


class Shared(msgspec.Struct, frozen=True):
    """What the first task tells the others: the probe's findings, and what follows from nothing else."""

    source: Source
    chunk_s: int
    wishes: Wishes = PLAIN
    encrypt: bool = False

    @property
    def plan(self) -> Plan:
        """The same for every task of the job."""
        return plan(self.source, self.wishes)


def read_shared(attempt: Attempt) -> Shared:
    """What the first task of this job found."""
    assert attempt.source is not None  # written before any piece was queued
    return msgspec.json.decode(attempt.source, type=Shared)


async def encode_chunk(attempt: Attempt, shop: Workshop, folder: Path, status: Status) -> None:
    """The ladder's pictures of one chunk, into the store. Raises Refusal, Transient, StoreDown."""
    shared = read_shared(attempt)
    source, wanted = shared.source, shared.plan
    chunk = decide_chunks(wanted, shared.chunk_s)[attempt.chunk_no or 0]
    assert wanted.grid is not None
    total = chunk.frames / wanted.grid.rate
    status.scratch_bytes = check_room(shop.scratch, wanted, total)
    await asyncio.to_thread(check_abilities, shop.exe, source, wanted)
    status.enter("encoding", 0.0)
    raw = folder / "raw"
    raw.mkdir()
    async with shop.source(attempt) as path:
        argv = encode.chunk_argv(shop.exe, path, source, wanted, raw, chunk)
        files = [video_file(raw, rung) for rung in wanted.rungs]
        decoded = await encode_witnessed(
            shop.exe, argv, float(total), status.encoded, reads=[path], writes=raw, files=files, is_video=True
        )
    for name, found in decoded.items():
        if found.samples != chunk.frames:
            text = f"Chunk {attempt.chunk_no} of {name} has {found.samples} pictures, not {chunk.frames}."
            raise Refusal(errors.VERIFY_FAILED, text)
    await _store(attempt, shop, raw, status)


async def encode_sound(attempt: Attempt, shop: Workshop, folder: Path, status: Status) -> None:
    """Every sound and every subtitle, into the store. Raises Refusal, Transient, StoreDown."""
    shared = read_shared(attempt)
    source, wanted = shared.source, shared.plan
    status.enter("encoding", 0.0)
    raw = folder / "raw"
    raw.mkdir()
    async with shop.source(attempt) as path:
        await encode_heard(shop.exe, path, source, wanted, raw, status.encoded)
    # A film whose subtitles were lost has nothing to show here: an empty object keeps the piece's place.
    (raw / "made").write_bytes(b"")
    await _store(attempt, shop, raw, status)


async def _store(attempt: Attempt, shop: Workshop, raw: Path, status: Status) -> None:
    """A piece is no generation: nothing lists its objects."""
    await publish(
        shop.store, raw, attempt.store_prefix, lambda share: status.enter("encoding", 0.9 + 0.1 * share), is_listed=False
    )  # fmt: skip


async def encode_heard(
    exe: Path, path: Path, source: Source, wanted: Plan, raw: Path, moved: Callable[[Progress], None]
) -> None:
    """Every sound, at its loudness, and every subtitle into `raw`. Raises Refusal, Transient."""
    total_s = float(wanted.duration)
    if wanted.sounds:
        gains_db, even = await measure_gains(exe, path, source, wanted, raw)
        argv = encode.sounds_argv(exe, path, source, wanted, raw, gains_db, even)
        files = [audio_file(raw, number) for number in range(len(wanted.sounds))]
        reads = [path, *even.values()]
        await encode_witnessed(exe, argv, total_s, moved, reads=reads, writes=raw, files=files, is_video=False)
        for file in even.values():
            await asyncio.to_thread(file.unlink)
    await extract_text(exe, path, source, raw, total_s)


async def measure_gains(
    exe: Path, path: Path, source: Source, wanted: Plan, work: Path
) -> tuple[tuple[float, ...], dict[int, Path]]:
    """The gain in dB that each sound of the plan needs, none where it cannot be measured; and which were made even, into `work`.

    Measuring hears a sound to its end, and so finds out first whether its rate or its layout changes on the way.
    """
    gains_db = []
    even: dict[int, Path] = {}
    for number, sound in enumerate(wanted.sounds):
        found = await _measured(exe, measure_argv(exe, path, source, sound), path, source, work)
        if len(found) > 1:
            target = even_file(work, number)
            argv = even_argv(exe, path, source, sound, target)
            await encoder.run(argv, source.duration_s, reads=[path], writes=work)
            even[number] = target
            found = await _measured(exe, measure_argv(exe, path, source, sound, target), target, source, work)
        gains_db.append(found[-1].gain_db if found else 0.0)
    return tuple(gains_db), even


async def _measured(exe: Path, argv: list[str], path: Path, source: Source, work: Path) -> list[Loudness]:
    try:
        return read_summaries(await encoder.run(argv, source.duration_s, reads=[path], writes=work))
    except Refusal as refusal:
        log.warning("loudness_not_measured", why=refusal.details)
        return []


async def extract_text(exe: Path, path: Path, source: Source, folder: Path, total_s: float) -> None:
    """Every embedded subtitle track as WebVTT; a film is worth showing without those that cannot be read."""
    if not source.text or source.video is None:
        return
    try:
        await encoder.run(encode.text_argv(exe, path, source, folder), total_s, reads=[path], writes=folder)
    except Refusal as refusal:
        log.warning("subtitles_lost", tracks=len(source.text), why=refusal.details)
        for number in range(len(source.text)):
            encode.text_file(folder, number).unlink(missing_ok=True)


async def collect(attempt: Attempt, shop: Workshop, raw: Path, moved: Callable[[float], None]) -> None:
    """Fetches every piece: chunk n's files into `raw`/n, sounds and subtitles into `raw`. Raises Transient, StoreDown, Unsound
    when the store gives back something else than what was decoded.
    """
    wanted: list[tuple[str, Path]] = []
    for piece in attempt.pieces:
        folder = raw if piece.chunk_no is None else raw / str(piece.chunk_no)
        folder.mkdir(parents=True, exist_ok=True)
        wanted += [(key, folder / key.rpartition("/")[2]) async for key in shop.store.keys(piece.key)]
    gate, done = asyncio.Semaphore(PARALLEL_PUTS), 0

    async def fetch(key: str, target: Path) -> None:
        nonlocal done
        async with gate:
            await shop.store.fetch_to(key, target)
        done += 1
        moved(done / len(wanted))

    try:
        async with asyncio.TaskGroup() as group:
            for key, target in wanted:
                group.create_task(fetch(key, target))
    except BaseExceptionGroup as failures:
        first = failures.exceptions[0]
        if isinstance(first, ObjectMissing):
            text = f"A piece of the film is no longer in the store: {first}."
            raise Transient(Refusal(errors.UNAVAILABLE, text)) from None
        raise first from None
    for folder in dict.fromkeys(target.parent for _, target in wanted):
        await asyncio.to_thread(check_files, folder)
