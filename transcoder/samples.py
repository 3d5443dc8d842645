"""What a decoder was given and what players get, made comparable: a digest over a track's samples, and the record of those decoded.

Two files hold the same samples when their sample entry is the same, and each sample's bytes, length and place in time are: how they
are put into fragments does not count, since packaging changes that.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from pathlib import Path

import msgspec

from transcoder.boxes import Mp4Error, one
from transcoder.mp4 import Fragment
from transcoder.unsound import Rule, Unsound, expect

RECORD = "decoded.json"


class Decoded(msgspec.Struct, frozen=True):
    """One file of an encoder that a decoder took without a word: the SHA-256 of its bytes, and of its samples, with their number."""

    sha256: str
    samples: int
    samples_sha256: str


class Tally:
    """Counts and digests samples in their order."""

    def __init__(self, head: bytes) -> None:
        """`head` holds the moov, whose sample entry says how the samples are to be decoded. Raises Mp4Error."""
        entry = one(head, b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
        # Apart, so that it does not matter where one fragment ends and the next begins.
        self._told = hashlib.sha256(head[entry.start : entry.end])
        self._media = hashlib.sha256()
        self.samples = 0

    def add(self, fragment: Fragment, data: bytes | memoryview, edit_start: int = 0) -> None:
        """The samples of one fragment, of which `data` is the media. Raises Mp4Error when that is not as long as they are."""
        if sum(sample.size for sample in fragment.samples) != len(data):
            raise Mp4Error(f"a fragment has {len(data)} bytes of media, its samples another length")
        for sample in fragment.samples:
            self._told.update(struct.pack(">IIi", sample.size, sample.duration, sample.cts - edit_start))
        self._media.update(data)
        self.samples += len(fragment.samples)

    def hexdigest(self) -> str:
        """Of everything so far."""
        return hashlib.sha256(self._told.digest() + self._media.digest()).hexdigest()


def write_record(folder: Path, decoded: Mapping[str, Decoded]) -> None:
    """Adds what was decoded, by the files' names, to the record that lies beside them."""
    (folder / RECORD).write_bytes(msgspec.json.encode(read_record(folder) | dict(decoded)))


def read_record(folder: Path) -> dict[str, Decoded]:
    """What of `folder` was decoded; nothing where there is no record. Raises Unsound, OSError."""
    path = folder / RECORD
    if not path.exists():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Decoded])
    except msgspec.DecodeError as error:
        raise Unsound(Rule.CHECKSUM, RECORD, f"cannot be read: {error}") from error


def check_files(folder: Path) -> None:
    """The files of `folder` are, byte for byte, those that its record says were decoded. Blocking. Raises Unsound, OSError."""
    for name, decoded in read_record(folder).items():
        path = folder / name
        expect(path.is_file(), Rule.CHECKSUM, name, "was decoded and is not there")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        expect(found == decoded.sha256, Rule.CHECKSUM, name, "is not what was decoded")
