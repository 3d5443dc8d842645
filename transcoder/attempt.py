"""One attempt at a task: from the uploaded file to something in the store. Knows no database, no lease and no queue.

Whatever stops it (a refusal, a failing store, being cancelled), its scratch folder and its objects are gone afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from core import errors
from core.domain.media_keys import SealedKey, new_key, seal_key
from core.domain.media_results import Finished, Poster, Split
from core.domain.media_tasks import Attempt
from core.errors import Refusal
from core.objects import StoreDown
from transcoder import encode, encoder, pieces
from transcoder.abilities import check_abilities
from transcoder.announce import announce
from transcoder.assemble import POSTER, Generation, add_stills, assemble
from transcoder.boxes import Mp4Error
from transcoder.check import check_generation
from transcoder.encoder import Transient
from transcoder.ladder import Plan, decide_chunks, plan
from transcoder.left_out import warnings_of
from transcoder.pieces import Shared
from transcoder.preview import Show, make_preview
from transcoder.probe import probe
from transcoder.progress import ENCODE_SHARE
from transcoder.publish import Manifest, publish, withdraw
from transcoder.repackage import repackage
from transcoder.scratch import attempt_folder
from transcoder.source import Source
from transcoder.status import Status
from transcoder.texts import Text, fetch_texts
from transcoder.unsound import Unsound, told
from transcoder.whole import encode_whole
from transcoder.wishes import decide_wishes
from transcoder.workshop import Workshop, check_room, ring_of

# Formats whose index leads to the key frame before any instant: only those are worth cutting into chunks.
_INDEXED = frozenset({"mov", "matroska"})


async def perform(attempt: Attempt, shop: Workshop, status: Status, show: Show) -> Finished | Split | None:
    """Does the work: Finished, Split (the job is to become pieces), or None for a piece or a preview that is in the store.

    `show` is told when a preview may be played. Raises Refusal (not to be tried again) or Transient.
    """
    try:
        with attempt_folder(shop.scratch, attempt.task_id, attempt.fence) as folder:
            for prefix in attempt.earlier_prefixes:
                await withdraw(shop.store, prefix)
            match attempt.kind:
                case "transcode":
                    return await _transcode(attempt, shop, folder, status)
                case "preview":
                    await make_preview(attempt, shop, folder, status, show)
                case "encode":
                    await pieces.encode_chunk(attempt, shop, folder, status)
                case "audio":
                    await pieces.encode_sound(attempt, shop, folder, status)
                case "stitch":
                    return await _stitch(attempt, shop, folder, status)
                case "repackage":
                    return await repackage(attempt, shop, folder, status)
            return None
    except Unsound as unsound:
        # What was made is sound; what the store gave back is not.
        raise Transient(Refusal(errors.VERIFY_FAILED, told(unsound), details=str(unsound))) from unsound
    except StoreDown as error:
        raise Transient(
            Refusal(errors.UNAVAILABLE, "The object store cannot be reached.", details=str(error))
        ) from error
    except OSError as error:
        code = errors.DISK_FULL if error.errno in (28, 122) else errors.INTERNAL
        raise Transient(Refusal(code, details=str(error))) from error


async def _transcode(attempt: Attempt, shop: Workshop, folder: Path, status: Status) -> Finished | Split:
    """A short film from beginning to end; a long one is only looked at, and becomes pieces."""
    async with shop.source(attempt) as path:
        encrypt = bool(attempt.encoding.over(shop.encoding).encrypt)
        if encrypt:
            ring_of(shop)  # before hours of work
        source = await probe(path)
        raw = folder / "raw"
        raw.mkdir()
        wishes = await decide_wishes(attempt, shop, path, source, raw, status)
        wanted = plan(source, wishes)
        status.ladder = announce(source, wanted, attempt.language)
        status.scratch_bytes = check_room(shop.scratch, wanted, wanted.duration)
        await asyncio.to_thread(check_abilities, shop.exe, source, wanted)
        if set(source.format.split(",")) & _INDEXED and (chunks := decide_chunks(wanted, shop.chunk_s)):
            shared = msgspec.json.encode(Shared(source, shop.chunk_s, wishes, encrypt)).decode()
            # A preview lies in the store as it is made, in the clear.
            return Split(
                len(chunks),
                bool(wanted.sounds or source.text),
                shared,
                previewed=not encrypt,
                ladder=status.ladder,
                warnings=warnings_of(source),
            )
        status.enter("encoding", 0.01)
        await encode_whole(shop.exe, path, source, wanted, raw, status.encoded)
    return await _finish(attempt, shop, source, wanted, folder, 1, status, encrypt=encrypt)


async def _stitch(attempt: Attempt, shop: Workshop, folder: Path, status: Status) -> Finished:
    """Joins the pieces of a long film."""
    shared = pieces.read_shared(attempt)
    wanted = shared.plan
    status.scratch_bytes = check_room(shop.scratch, wanted, wanted.duration)
    status.enter("assembling", 0.0)
    await pieces.collect(attempt, shop, folder / "raw", lambda share: status.enter("assembling", 0.4 * share))
    chunks = len(decide_chunks(wanted, shared.chunk_s))
    return await _finish(attempt, shop, shared.source, wanted, folder, chunks, status, encrypt=shared.encrypt)


async def _finish(
    attempt: Attempt,
    shop: Workshop,
    source: Source,
    wanted: Plan,
    folder: Path,
    chunks: int,
    status: Status,
    *,
    encrypt: bool,
) -> Finished:
    """From raw files to a generation in the store: packaged, checked, encrypted if asked for, uploaded, read back."""
    status.enter("verifying", ENCODE_SHARE)
    prefix = attempt.store_prefix
    key = new_key() if encrypt else None
    sealed = seal_key(ring_of(shop), key, prefix) if key is not None else None
    texts = await fetch_texts(shop.store, attempt.texts)
    generation = await _assemble(source, wanted, folder, chunks, attempt.language, texts)
    stills = _take_stills(shop.exe, wanted, folder)
    if key is None:
        generation = await _at_once(check_generation(shop.exe, generation, source.duration_s), stills)
        generation = await asyncio.to_thread(add_stills, generation, wanted, folder / "raw")
    else:
        # Nobody can look into what is being encrypted.
        await stills
        generation = await asyncio.to_thread(add_stills, generation, wanted, folder / "raw")
        generation = await check_generation(shop.exe, generation, source.duration_s, key)
    status.enter("publishing", 0.95)
    manifest = await publish(
        shop.store, generation.folder, prefix, lambda share: status.enter("publishing", 0.95 + 0.04 * share)
    )
    return replace(_finished(generation, manifest, shop, prefix, sealed), warnings=warnings_of(source))


async def _assemble(
    source: Source, wanted: Plan, folder: Path, chunks: int, language: str | None, texts: Sequence[Text]
) -> Generation:
    raw, out = folder / "raw", folder / "out"
    try:
        return await asyncio.to_thread(assemble, source, wanted, raw, out, language, chunks, texts)
    except Mp4Error as error:
        raise Refusal(errors.VERIFY_FAILED, f"The encoder's output cannot be packaged: {error}.") from error


async def _take_stills(exe: Path, wanted: Plan, folder: Path) -> None:
    raw, out = folder / "raw", folder / "out"
    if wanted.grid is not None:
        argv = encode.stills_argv(exe, wanted, out, raw)
        await encoder.run(argv, float(wanted.duration), reads=[out], writes=raw)


async def _at_once(check: Coroutine[None, None, Generation], stills: Coroutine[None, None, None]) -> Generation:
    try:
        async with asyncio.TaskGroup() as group:
            checked = group.create_task(check)
            group.create_task(stills)
    except BaseExceptionGroup as failures:
        # The other was cancelled for its sake.
        raise failures.exceptions[0] from None
    return checked.result()


def _finished(
    generation: Generation, manifest: Manifest, shop: Workshop, prefix: str, sealed: SealedKey | None
) -> Finished:
    poster, store = None, shop.store
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
        key=sealed,
    )
