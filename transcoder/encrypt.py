"""Encrypts a finished generation (RFC 8216bis, METHOD=AES-128): every segment whole, the init segments and text in the clear.

A key frame of an I-frame playlist becomes a file of its own: a byte range of a segment that was encrypted whole decrypts to
nothing. Decides which objects are encrypted, and what playlists say of it; keeps no key. Blocking, files only.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from secrets import token_bytes

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from core.domain.media_results import Rendition
from transcoder import playlists
from transcoder.assemble import DASH, Generation
from transcoder.fragments import STYP, fragment_head
from transcoder.mp4 import read_fragment, read_track
from transcoder.playlists import KeyTag, Piece
from transcoder.unsound import Rule, expect
from transcoder.verify_media import read_playlist

KEY_NAME = "content.key"
_BLOCK_BITS = 128
_IV_BYTES = 16


def encrypt_generation(generation: Generation, key: bytes) -> Generation:
    """The same generation, its pictures and sounds encrypted with `key`. Raises OSError.

    There is no DASH manifest over it: DASH knows no encryption of whole segments.
    """
    folder = generation.folder
    renditions = {rendition.path: rendition for rendition in generation.renditions}
    # Key frames are cut out of the segments while those can still be read.
    order = sorted(generation.renditions, key=lambda rendition: rendition.kind != "iframes")
    for rendition in order:
        if rendition.kind != "subtitles":
            renditions[rendition.path] = _encrypt_rendition(folder, rendition, key)
    (folder / DASH).unlink()
    return replace(generation, renditions=tuple(renditions.values()))


def _encrypt_rendition(folder: Path, rendition: Rendition, key: bytes) -> Rendition:
    listed = read_playlist(folder, rendition.path)
    here = (folder / rendition.path).parent
    # One for each playlist: its segments differ within their first blocks, where each names its own number.
    iv = token_bytes(_IV_BYTES)
    track_id = read_track((here / (listed.init or "")).read_bytes()).track_id
    pieces: list[Piece] = []
    for number, piece in enumerate(listed.entries):
        data = (here / piece.uri).read_bytes()
        name = piece.uri
        if piece.byte_range is not None:
            length, offset = piece.byte_range
            data, name = _alone(data[offset : offset + length], number, track_id), f"key-{number}.m4s"
        (here / name).write_bytes(encrypted := encrypt(data, key, iv))
        pieces.append(Piece(name, piece.duration, len(encrypted)))
    tag = KeyTag(f"{'../' * rendition.path.count('/')}{KEY_NAME}", iv)
    write = playlists.iframe_playlist if rendition.kind == "iframes" else playlists.media_playlist
    text = write(pieces, listed.target_s, init=listed.init, key=tag)
    (folder / rendition.path).write_text(text, "utf-8")
    return replace(rendition, size_bytes=sum(piece.size_bytes for piece in pieces))


def _alone(data: bytes, number: int, track_id: int) -> bytes:
    """A key frame with its moof as a segment that holds nothing else, and is shown as long as its group."""
    fragment = read_fragment(data[: int.from_bytes(data[:4], "big")])
    first = replace(fragment.samples[0], duration=fragment.duration)
    head = fragment_head(number + 1, track_id, fragment.decode_time, [first], 0)
    return STYP + head + data[fragment.data_offset : fragment.data_offset + first.size]


def encrypt(data: bytes, key: bytes, iv: bytes) -> bytes:
    """AES-128 in CBC mode with PKCS #7 padding (RFC 8216, 4.3.2.4)."""
    padder = PKCS7(_BLOCK_BITS).padder()
    encryptor = Cipher(AES(key), CBC(iv)).encryptor()
    return encryptor.update(padder.update(data) + padder.finalize()) + encryptor.finalize()


def decrypt(data: bytes, key: bytes, iv: bytes) -> bytes:
    """What `encrypt` was given. Raises ValueError when that was nothing of the kind."""
    decryptor = Cipher(AES(key), CBC(iv)).decryptor()
    unpadder = PKCS7(_BLOCK_BITS).unpadder()
    return unpadder.update(decryptor.update(data) + decryptor.finalize()) + unpadder.finalize()


def read_iv(playlist: Path) -> bytes:
    """The initialisation vector of a playlist's one key. Raises ValueError."""
    found = re.findall(r"^#EXT-X-KEY:.*,IV=0x([0-9a-f]{32})$", playlist.read_text("utf-8"), re.MULTILINE)
    if len(found) != 1:
        raise ValueError(f"{len(found)} keys")
    return bytes.fromhex(found[0])


def check_encrypted(generation: Generation, key: bytes) -> None:
    """Nothing of pictures and sounds is in the clear, and every playlist leads to the one key. Raises Unsound."""
    folder = generation.folder
    for rendition in generation.renditions:
        if rendition.kind == "subtitles":
            continue
        path = rendition.path
        lines = (folder / path).read_text("utf-8").splitlines()
        tags = [line for line in lines if line.startswith("#EXT-X-KEY:")]
        leads = f'#EXT-X-KEY:METHOD=AES-128,URI="{"../" * path.count("/")}{KEY_NAME}",IV=0x'
        expect(len(tags) == 1 and tags[0].startswith(leads), Rule.ENCRYPTION, path, "does not lead to the key once")
    for file in sorted(folder.rglob("*")):
        name = str(file.relative_to(folder))
        if file.suffix == ".m4s":
            data = file.read_bytes()
            is_clear = len(data) % (_BLOCK_BITS // 8) != 0 or data[4:8] in (b"styp", b"moof")
            expect(not is_clear, Rule.ENCRYPTION, name, "is not encrypted")
        elif file.is_file() and name != KEY_NAME:
            expect(key not in file.read_bytes(), Rule.ENCRYPTION, name, "holds the key")
    expect(not (folder / DASH).exists(), Rule.ENCRYPTION, DASH, "describes segments that DASH cannot decrypt")
