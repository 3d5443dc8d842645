"""A generation with other subtitles: the pictures and sounds of the one that plays, copied as they are, and new words beside them.

Nothing is encoded and no segment is read: what is copied was checked when it was made. Encrypted segments keep their key, which is
sealed anew for the place where they lie now.
"""

from __future__ import annotations

import asyncio
from fractions import Fraction
from pathlib import Path

import msgspec

from core import errors
from core.domain.media_keys import SealedKey, open_key, seal_key
from core.domain.media_origin import Origin
from core.domain.media_results import Finished, Planned
from core.domain.media_tasks import Attempt
from core.domain.sealing import Unsealable
from core.errors import Refusal
from core.objects import ObjectMissing, ObjectStore
from transcoder.assemble import DASH, MASTER
from transcoder.dash import with_words
from transcoder.playlists import with_subtitles
from transcoder.publish import SUMS, Kept, Sums, publish, read_sums
from transcoder.status import Status
from transcoder.subtitles import BASIS, FOLDER, Basis, Laid, lay_subtitles
from transcoder.texts import Text, fetch_texts
from transcoder.unsound import Unsound, refusal_of
from transcoder.verify import verify_texts
from transcoder.workshop import Workshop, ring_of


async def repackage(attempt: Attempt, shop: Workshop, folder: Path, status: Status) -> Finished:
    """The generation in the store under the attempt's prefix. Raises Refusal, Transient, StoreDown, Unsound, OSError."""
    origin = attempt.origin
    assert origin is not None  # media_tasks.take_task
    status.enter("packaging", 0.05)
    key = _seal_again(shop, origin, attempt.store_prefix)
    before = await _fetch(shop.store, origin)
    given = await fetch_texts(shop.store, attempt.texts)
    out = folder / "out"
    try:
        laid = await asyncio.to_thread(_lay, before, given, out)
    except Unsound as unsound:
        raise refusal_of(unsound) from unsound
    status.ladder = tuple(Planned(r.kind, r.name, language=r.language) for r in laid.renditions if r.kind != "iframes")
    status.enter("publishing", 0.2)
    manifest = await publish(
        shop.store, out, attempt.store_prefix, lambda share: status.enter("publishing", 0.2 + 0.79 * share),
        Kept(origin.store_prefix, before.kept),
    )  # fmt: skip
    return Finished(
        duration_ms=origin.duration_ms,
        width=origin.width,
        height=origin.height,
        has_video=True,
        has_audio=origin.has_audio,
        size_bytes=manifest.size_bytes,
        checksum=manifest.checksum,
        renditions=(*origin.renditions, *laid.renditions),
        # The picture of the title stays where it is.
        poster=None,
        key=key,
    )


class _Before(msgspec.Struct, frozen=True):
    """What plays: its manifests as text (an encrypted title has none for DASH), and the objects that are taken over."""

    master: str
    mpd: str | None
    basis: bytes
    kept: Sums


async def _fetch(store: ObjectStore, origin: Origin) -> _Before:
    """Raises Refusal for what an earlier version made or what is no longer whole, StoreDown, Unsound."""
    try:
        sums = read_sums(await store.get(f"{origin.store_prefix}/{SUMS}"), origin.checksum)
        own = {name: await store.get(f"{origin.store_prefix}/{name}") for name in (MASTER, BASIS)}
        mpd = await store.get(f"{origin.store_prefix}/{DASH}") if DASH in sums else None
    except ObjectMissing as missing:
        raise Refusal(errors.NOT_REPACKAGED, details=str(missing)) from missing
    made_anew = {MASTER, DASH, BASIS}
    kept = {name: one for name, one in sums.items() if name not in made_anew and not name.startswith(f"{FOLDER}/")}
    return _Before(own[MASTER].decode(), None if mpd is None else mpd.decode(), own[BASIS], kept)


def _lay(before: _Before, given: tuple[Text, ...], out: Path) -> Laid:
    """All that the new generation does not have in common with the old. Blocking. Raises Unsound, OSError."""
    out.mkdir(parents=True)
    basis = msgspec.json.decode(before.basis, type=Basis)
    (out / BASIS).write_bytes(before.basis)
    laid = lay_subtitles(out, basis, given)
    (out / MASTER).write_text(with_subtitles(before.master, laid.choices), "utf-8")
    if before.mpd is not None:
        (out / DASH).write_text(with_words(before.mpd, laid.words), "utf-8")
    verify_texts(out, before.master, Fraction(basis.duration), frozenset(before.kept))
    return laid


def _seal_again(shop: Workshop, origin: Origin, prefix: str) -> SealedKey | None:
    """The key of an encrypted generation, for other objects that it was used for. Raises Refusal, Transient."""
    if origin.key is None:
        return None
    ring = ring_of(shop)
    try:
        return seal_key(ring, open_key(ring, origin.key, origin.store_prefix), prefix)
    except Unsealable as error:
        raise Refusal(errors.KEY_LOST) from error
