"""One attempt: from the uploaded file to a verified generation in the store. Knows no database, no lease and no queue.

Whatever stops it (a refusal, a failing store, being cancelled), its scratch folder and its objects are gone afterwards.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import structlog

from core import errors
from core.domain.media_tasks import Attempt, Finished, Poster
from core.errors import Refusal
from core.objects import ObjectMissing, ObjectStore, StoreDown
from transcoder import encode, encoder
from transcoder.assemble import POSTER, Generation, assemble
from transcoder.encode_sound import measure_argv
from transcoder.encoder import Transient
from transcoder.ladder import Plan, plan
from transcoder.loudness import read_summary
from transcoder.mp4 import Mp4Error
from transcoder.probe import probe
from transcoder.progress import ENCODE_SHARE, Progress
from transcoder.publish import Manifest, publish, withdraw
from transcoder.scratch import attempt_folder, free_bytes
from transcoder.source import Source
from transcoder.unsound import Rule, Unsound
from transcoder.verify import MASTER, verify

log = structlog.get_logger(__name__)

# Raw and cut renditions lie side by side for a while, and others write to the disk too.
_ROOM_FACTOR = 1.3
_ROOM_BYTES = 256 << 20


@dataclass(slots=True)
class Status:
    """What the lease shows: changed by the attempt, read by whoever renews."""

    stage: str = "probing"
    percent: float = 0.0
    eta_s: int | None = None

    def encoded(self, progress: Progress) -> None:
        """The encoder moved."""
        self.percent = max(self.percent, progress.percent)
        self.eta_s = progress.eta_s(time.monotonic())

    def enter(self, stage: str, share: float) -> None:
        """A new stage begins with `share` of the whole job done."""
        self.stage, self.percent = stage, max(self.percent, 100 * share)


async def perform(
    attempt: Attempt, store: ObjectStore, scratch: Path, configured_ffmpeg: Path | None, status: Status
) -> Finished:
    """Does the work. Raises Refusal (not to be tried again) or Transient; on return the objects are in the store."""
    try:
        exe = encoder.executable(configured_ffmpeg)
        with attempt_folder(scratch, attempt.task_id, attempt.fence) as folder:
            for prefix in attempt.earlier_prefixes:
                await withdraw(store, prefix)
            path = await _fetch(attempt, store, folder)
            source = await probe(path)
            wanted = plan(source)
            _check_room(scratch, wanted)
            raw, out = folder / "raw", folder / "out"
            raw.mkdir()
            status.enter("encoding", 0.01)
            await _encode(exe, path, source, wanted, raw, status)
            status.enter("verifying", ENCODE_SHARE)
            generation = await _assemble(source, wanted, raw, out, attempt.language)
            await check_generation(exe, generation, source.duration_s)
            status.enter("publishing", 0.95)
            manifest = await publish(
                store, out, attempt.store_prefix, lambda share: status.enter("publishing", 0.95 + 0.04 * share)
            )
            return _finished(generation, manifest, store, attempt.store_prefix)
    except Unsound as unsound:
        # What was made is sound; what the store gave back is not.
        raise Transient(Refusal(errors.VERIFY_FAILED, _told(unsound), details=str(unsound))) from unsound
    except StoreDown as error:
        raise Transient(
            Refusal(errors.UNAVAILABLE, "The object store cannot be reached.", details=str(error))
        ) from error
    except OSError as error:
        code = errors.DISK_FULL if error.errno in (28, 122) else errors.INTERNAL
        raise Transient(Refusal(code, details=str(error))) from error


async def _fetch(attempt: Attempt, store: ObjectStore, folder: Path) -> Path:
    if store.provider == "file":
        path = Path(store.url.removeprefix("file://")) / attempt.storage_key
    else:
        if free_bytes(folder) < attempt.size_bytes * _ROOM_FACTOR + _ROOM_BYTES:
            raise Transient(Refusal(errors.DISK_FULL))
        path = folder / "source"
        try:
            await store.fetch_to(attempt.storage_key, path)
        except ObjectMissing as error:
            raise Refusal(errors.NOT_MEDIA, "The uploaded file is no longer in the store.") from error
    if not await asyncio.to_thread(path.is_file):
        raise Refusal(errors.NOT_MEDIA, "The uploaded file is no longer in the store.")
    return path


def _check_room(scratch: Path, wanted: Plan) -> None:
    bps = sum(rung.max_bps for rung in wanted.rungs) + sum(sound.bps for sound in wanted.sounds)
    need = 2 * bps / 8 * float(wanted.duration) * _ROOM_FACTOR + _ROOM_BYTES
    free = free_bytes(scratch)
    if free < need:
        text = f"Encoding needs {need / 1e9:.1f} GB of scratch space; {free / 1e9:.1f} GB are free."
        raise Transient(Refusal(errors.DISK_FULL, text))


async def _encode(exe: Path, path: Path, source: Source, wanted: Plan, raw: Path, status: Status) -> None:
    total_s = float(wanted.duration)
    await encoder.encode(
        encode.ladder_argv(exe, path, source, wanted, raw), total_s, status.encoded, reads=[path], writes=raw
    )
    if wanted.grid is None:
        return
    await encoder.run(encode.stills_argv(exe, wanted, raw), total_s, reads=[raw], writes=raw)
    if source.text:
        try:
            await encoder.run(encode.text_argv(exe, path, source, raw), total_s, reads=[path], writes=raw)
        except Refusal as refusal:
            # A film is worth showing without its subtitles; which were lost is in the log.
            log.warning("subtitles_lost", tracks=len(source.text), why=refusal.details)
            for number in range(len(source.text)):
                encode.text_file(raw, number).unlink(missing_ok=True)


async def measure_gains(exe: Path, path: Path, source: Source, work: Path) -> tuple[float, ...]:
    """The gain in dB that each track of the source needs; none where it cannot be measured."""
    gains_db = []
    for track in source.audio:
        try:
            said = await encoder.run(measure_argv(exe, path, track.index), source.duration_s, reads=[path], writes=work)
        except Refusal as refusal:
            log.warning("loudness_not_measured", track=track.index, why=refusal.details)
            said = ""
        found = read_summary(said)
        gains_db.append(found.gain_db if found else 0.0)
    return tuple(gains_db)


async def _assemble(source: Source, wanted: Plan, raw: Path, out: Path, language: str | None) -> Generation:
    try:
        return await asyncio.to_thread(assemble, source, wanted, raw, out, language)
    except Mp4Error as error:
        raise Refusal(errors.VERIFY_FAILED, f"The encoder's output cannot be packaged: {error}.") from error


async def check_generation(exe: Path, generation: Generation, source_s: float) -> None:
    """Every rule, then a whole decode. Raises Refusal that names the rule and the rendition."""
    folder = generation.folder
    try:
        await asyncio.to_thread(verify, folder, generation.duration, source_s)
        said = await _decode(exe, folder / MASTER, generation)
        if said:
            # Which rendition it was is worth a second decode of each, now that nothing will be published.
            for rendition in generation.renditions:
                if rendition.kind != "subtitles" and (found := await _decode(exe, folder / rendition.path, generation)):
                    raise Unsound(Rule.DECODE, rendition.path, found)
            raise Unsound(Rule.DECODE, MASTER, said)
    except Unsound as unsound:
        raise Refusal(errors.VERIFY_FAILED, _told(unsound), details=str(unsound)) from unsound


async def _decode(exe: Path, playlist: Path, generation: Generation) -> str:
    argv = encode.decode_argv(exe, playlist)
    said = await encoder.run(argv, float(generation.duration), reads=[generation.folder], writes=generation.folder)
    return said[-500:]


def _told(unsound: Unsound) -> str:
    """For whoever uploaded it: the decoder's own words name folders of ours."""
    problem = "its decoder complains" if unsound.rule is Rule.DECODE else unsound.problem
    return f"{errors.VERIFY_FAILED.message} Rule {unsound.rule} of {unsound.rendition}: {problem}."


def _finished(generation: Generation, manifest: Manifest, store: ObjectStore, prefix: str) -> Finished:
    poster = None
    if generation.has_poster:
        size_bytes, digest = manifest.objects[POSTER]
        poster = Poster(size_bytes, f"sha256:{digest}", store.provider, store.bucket, f"{prefix}/{POSTER}")
    return Finished(
        duration_ms=int(generation.duration * 1000 + 0.5),
        width=generation.width,
        height=generation.height,
        has_video=generation.has_video,
        has_audio=generation.has_audio,
        size_bytes=manifest.size_bytes,
        checksum=manifest.checksum,
        renditions=generation.renditions,
        poster=poster,
    )
