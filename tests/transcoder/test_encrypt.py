"""AES-128: only ciphertext in the store, a key that only the playlists' own decoders find, and seals that turn with the ring."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from hypothesis import given
from hypothesis import strategies as st

from core import errors
from core.database import Database
from core.domain import media_keys
from core.domain.media_encoding import Encoding
from core.domain.media_keys import KEY_BYTES, new_key, open_key
from core.domain.sealing import Unsealable, seal, unseal
from core.errors import Refusal
from core.ids import DEFAULT_TENANT
from core.keys import parse_ring
from core.objects import ObjectStore
from core.process import run_tool
from core.viewer import service
from tests.transcoder.sources import encode_locally, ffmpeg, film, frames_of
from tests.transcoder.test_chunks import tasks, work_off
from tests.transcoder.test_worker import job, look, submit, task_of
from transcoder.assemble import Generation
from transcoder.check import check_generation
from transcoder.encrypt import KEY_NAME, check_encrypted, encrypt, encrypt_generation
from transcoder.unsound import Rule, Unsound
from transcoder.worker import Worker

RING = parse_ring("a1:" + "s" * 32)
TURNED = parse_ring("a1:" + "s" * 32 + ",b2:" + "t" * 32)
KEY = bytes(range(16))
VIDEO = "video/180p/playlist.m3u8"


@pytest.fixture(scope="session")
def clear(tmp_path_factory: pytest.TempPathFactory) -> Generation:
    """Five seconds with sound; never changed."""
    import asyncio

    folder = tmp_path_factory.mktemp("clear")
    return asyncio.run(encode_locally(film(folder / "film.mp4", 5), folder / "work")).generation


@pytest.fixture
def copy(clear: Generation, tmp_path: Path) -> Generation:
    """One that may be encrypted."""
    return replace(clear, folder=Path(shutil.copytree(clear.folder, tmp_path / "copy")))


def decrypt(data: bytes, key: bytes, iv: bytes) -> bytes:
    """By another hand than the product's: padding looked at byte by byte."""
    decryptor = Cipher(AES(key), CBC(iv)).decryptor()
    plain = decryptor.update(data) + decryptor.finalize()
    assert plain[-plain[-1] :] == bytes([plain[-1]]) * plain[-1]
    return plain[: -plain[-1]]


def iv_of(playlist: Path) -> bytes:
    found = re.findall(
        r"^#EXT-X-KEY:METHOD=AES-128,URI=\"(?:\.\./)+content\.key\",IV=0x([0-9a-f]{32})$", playlist.read_text(), re.M
    )
    assert len(found) == 1
    return bytes.fromhex(found[0])


@given(st.binary(max_size=200), st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))
def test_what_is_encrypted_comes_back_and_is_whole_blocks(data: bytes, key: bytes, iv: bytes) -> None:
    encrypted = encrypt(data, key, iv)
    assert len(encrypted) == len(data) // 16 * 16 + 16
    assert decrypt(encrypted, key, iv) == data


async def test_segments_are_ciphertext_and_decoders_with_the_key_see_every_frame(
    clear: Generation, copy: Generation
) -> None:
    made = await check_generation(ffmpeg(), copy, 5.0, KEY)
    assert not (made.folder / KEY_NAME).exists()
    assert not (made.folder / "manifest.mpd").exists()
    for path in (VIDEO, "audio/0-und/playlist.m3u8"):
        iv = iv_of(made.folder / path)
        for number in range(2):
            name = f"{path.rpartition('/')[0]}/{number}.m4s"
            assert decrypt((made.folder / name).read_bytes(), KEY, iv) == (clear.folder / name).read_bytes()
    init = "video/180p/init.mp4"
    assert (made.folder / init).read_bytes() == (clear.folder / init).read_bytes()
    ivs = [iv_of(playlist) for playlist in made.folder.rglob("*.m3u8") if playlist.name != "master.m3u8"]
    assert len(set(ivs)) == len(ivs) == 3
    sizes = {r.path: r.size_bytes for r in made.renditions}
    assert sizes[VIDEO] == sum((made.folder / f"video/180p/{n}.m4s").stat().st_size for n in range(2))
    # As a player does: with the key beside the playlists, and without it.
    opened = ("-protocol_whitelist", "file,crypto", "-allowed_extensions", "ALL", "-i", str(made.folder / VIDEO))
    (made.folder / KEY_NAME).write_bytes(KEY)
    assert frames_of(opened).count("pts_time:") == 125
    (made.folder / KEY_NAME).write_bytes(bytes(16))
    assert run_tool([ffmpeg(), "-nostdin", "-v", "error", *opened, "-f", "null", "-"], timeout_s=60).stderr != ""


async def test_key_frames_are_files_of_their_own(copy: Generation) -> None:
    """A range of bytes out of a segment that was encrypted whole would decrypt to nothing."""
    made = await check_generation(ffmpeg(), copy, 5.0, KEY)
    playlist = made.folder / "video/180p/iframes.m3u8"
    text = playlist.read_text()
    assert "BYTERANGE" not in text
    names = [line for line in text.splitlines() if not line.startswith("#")]
    assert names == ["key-0.m4s", "key-1.m4s", "key-2.m4s"]
    whole = (playlist.parent / "init.mp4").read_bytes()
    for name in names:
        whole += decrypt((playlist.parent / name).read_bytes(), KEY, iv_of(playlist))
    (made.folder / "frames.mp4").write_bytes(whole)
    said = frames_of(["-i", made.folder / "frames.mp4"])
    assert len(re.findall(r"pts_time:.*type:I", said)) == said.count("pts_time:") == 3


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a segment in the clear": lambda f: (f / "video/180p/0.m4s").write_bytes(b"\0\0\0\x18styp" + bytes(24)),
    "a segment of half a block": lambda f: (f / "video/180p/0.m4s").write_bytes(bytes(24)),
    "no key in a playlist": lambda f: _change(f / VIDEO, "#EXT-X-KEY", "#EXT-X-NO"),
    "another key": lambda f: _change(f / VIDEO, "content.key", "other.key"),
    "a key from elsewhere": lambda f: _change(f / VIDEO, "../../content.key", "https://evil.example/content.key"),
    "the key among the objects": lambda f: (f / "poster.jpg").write_bytes(b"x" + KEY + b"x"),
    "a manifest": lambda f: (f / "manifest.mpd").write_text("<MPD/>"),
}


def _change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("name", sorted(DAMAGES))
def test_what_is_not_wholly_encrypted_is_refused(name: str, copy: Generation) -> None:
    made = encrypt_generation(copy, KEY)
    check_encrypted(made, KEY)
    DAMAGES[name](made.folder)
    with pytest.raises(Unsound) as unsound:
        check_encrypted(made, KEY)
    assert unsound.value.rule is Rule.ENCRYPTION


# ------------------------------------------------------------------------------------------------------------- the seals


@given(st.binary(max_size=64), st.text(max_size=40))
def test_a_seal_opens_with_its_key_for_its_purpose_alone(secret: bytes, purpose: str) -> None:
    sealed = seal(RING.newest, secret, purpose)
    assert unseal(TURNED, "a1", sealed, purpose) == secret
    for key_id, text, wanted in (
        ("b2", sealed, purpose),
        ("gone", sealed, purpose),
        ("a1", sealed, purpose + "x"),
        ("a1", sealed[:-1] + bytes([sealed[-1] ^ 1]), purpose),
        ("a1", sealed[:5], purpose),
        ("a1", b"", purpose),
    ):
        with pytest.raises(Unsealable):
            unseal(TURNED, key_id, text, wanted)


async def test_an_encrypted_title_is_published_with_its_key_sealed(
    database: Database, objects: ObjectStore, tmp_path: Path
) -> None:
    made = await submit(database, objects, film(tmp_path / "film.mp4", 2), Encoding(encrypt=True))
    worker = Worker(database, objects, tmp_path / "scratch", ring=RING)
    await worker.handle(DEFAULT_TENANT, await task_of(database, made.job_id))
    assert (await job(database, made.job_id))["state"] == "succeeded"
    row = await look(
        database, "SELECT g.number, g.store_prefix FROM contents c JOIN generations g ON g.id = c.generation_id"
    )
    folder = Path(objects.url.removeprefix("file://")) / str(row["store_prefix"])
    async with database.transaction(service()) as tx:
        found = await media_keys.find_key(tx, made.content_id, int(str(row["number"])))
    assert found is not None
    stored, prefix = found
    key = open_key(RING, stored, prefix)
    assert len(key) == KEY_BYTES
    assert key not in stored.sealed
    assert not list(folder.rglob("*.key"))
    first = decrypt((folder / "video/180p/0.m4s").read_bytes(), key, iv_of(folder / VIDEO))
    assert first[4:8] == b"styp"


async def test_the_seals_turn_with_the_ring(database: Database, objects: ObjectStore, tmp_path: Path) -> None:
    """The old key may be retired when a worker has looked; what nobody can open is told, and left as it is."""
    made = await submit(database, objects, film(tmp_path / "film.mp4", 1), Encoding(encrypt=True))
    await Worker(database, objects, tmp_path / "scratch", ring=RING).handle(
        DEFAULT_TENANT, await task_of(database, made.job_id)
    )
    async with database.transaction(service()) as tx:
        before = await media_keys.find_key(tx, made.content_id, 1)
        assert before is not None
        assert await media_keys.renew_seals(tx, RING) == (0, [])
        stranger = parse_ring("c3:" + "u" * 32)
        count, lost = await media_keys.renew_seals(tx, stranger)
        assert (count, len(lost)) == (0, 1)
        assert await media_keys.find_key(tx, made.content_id, 1) == before
        assert await media_keys.renew_seals(tx, TURNED) == (1, [])
        after = await media_keys.find_key(tx, made.content_id, 1)
    assert after is not None
    assert after[0].ring_key_id == "b2"
    alone = parse_ring("b2:" + "t" * 32)
    assert open_key(alone, after[0], after[1]) == open_key(RING, before[0], before[1])


async def test_a_worker_without_a_ring_leaves_encrypted_titles_to_others(
    database: Database, objects: ObjectStore, tmp_path: Path
) -> None:
    made = await submit(database, objects, film(tmp_path / "film.mp4", 1), Encoding(encrypt=True))
    await Worker(database, objects, tmp_path / "scratch").handle(DEFAULT_TENANT, await task_of(database, made.job_id))
    row = await look(database, "SELECT state::text, error_code FROM transcode_tasks")
    assert row == {"state": "queued", "error_code": errors.NO_KEY_RING.code}


async def test_a_long_encrypted_title_is_not_shown_before_it_is_whole(
    database: Database, objects: ObjectStore, tmp_path: Path
) -> None:
    """A preview would lie in the store in the clear."""
    made = await submit(database, objects, film(tmp_path / "film.mp4", 9, size="128x72"))
    encrypting = Encoding(("h264",), "fast", True)
    worker = Worker(database, objects, tmp_path / "scratch", chunk_s=4, encoding=encrypting, ring=RING)
    await work_off(worker, database, made.job_id, "transcode")
    kinds = {str(task["kind"]) for task in await tasks(database, made.job_id)}
    assert kinds == {"transcode", "encode", "audio"}
    # Whoever joins the pieces is not set to encrypt; the job is.
    other = Worker(database, objects, tmp_path / "other", chunk_s=4, ring=RING)
    await work_off(other, database, made.job_id, "encode", "audio", "stitch")
    assert (await job(database, made.job_id))["state"] == "succeeded"
    assert (await look(database, "SELECT count(*) AS n FROM generation_keys"))["n"] == 1


def test_a_key_is_never_the_same() -> None:
    assert len({new_key() for _ in range(100)}) == 100
    assert Refusal(errors.KEY_LOST).body()["code"] == "PS637"
