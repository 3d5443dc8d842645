"""Proves that players get the very samples that were decoded, through the playlists, the init segment and, where there is one, the key.

Blocking, files only. What encrypts is not asked whether it did right: everything is decrypted again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from transcoder.assemble import Generation
from transcoder.boxes import Mp4Error, boxes
from transcoder.encrypt import decrypt, read_iv
from transcoder.mp4 import Fragment, read_fragment, read_track
from transcoder.samples import Decoded, Tally
from transcoder.unsound import Rule, Unsound, expect
from transcoder.verify_media import Listed, read_playlist


def check_samples(generation: Generation, key: bytes | None = None) -> None:
    """Every picture and sound of the generation, encrypted with `key` where there is one. Raises Unsound, OSError."""
    for rendition in generation.renditions:
        if rendition.kind in ("video", "audio"):
            parts = generation.decoded.get(rendition.path, ())
            expect(bool(parts), Rule.SAMPLES, rendition.path, "was never decoded")
            try:
                _check_rendition(generation.folder, rendition.path, parts, key)
            except (Mp4Error, ValueError) as error:
                raise Unsound(Rule.SAMPLES, rendition.path, f"cannot be read: {error}") from error


def _check_rendition(folder: Path, path: str, parts: Sequence[Decoded], key: bytes | None) -> None:
    listed = read_playlist(folder, path)
    init = ((folder / path).parent / (listed.init or "")).read_bytes()
    edit_start = read_track(init).edit_start
    fragments = _fragments(folder, path, listed, key)
    for number, part in enumerate(parts):
        tally = Tally(init)
        while tally.samples < part.samples and (found := next(fragments, None)) is not None:
            tally.add(*found, edit_start)
        same = tally.samples == part.samples and tally.hexdigest() == part.samples_sha256
        which = "its samples" if len(parts) == 1 else f"the samples of chunk {number}"
        expect(same, Rule.SAMPLES, path, f"{which} are not those that were decoded")
    expect(next(fragments, None) is None, Rule.SAMPLES, path, "has more samples than were decoded")


def _fragments(folder: Path, path: str, listed: Listed, key: bytes | None) -> Iterator[tuple[Fragment, memoryview]]:
    iv = read_iv(folder / path) if key is not None else None
    for piece in listed.entries:
        data = ((folder / path).parent / piece.uri).read_bytes()
        if key is not None and iv is not None:
            data = decrypt(data, key, iv)
        parts = [box for box in boxes(data) if box.kind in (b"moof", b"mdat")]
        for moof, mdat in zip(parts[::2], parts[1::2], strict=True):
            yield read_fragment(data[moof.start : moof.end]), memoryview(data)[mdat.body : mdat.end]
