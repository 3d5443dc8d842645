"""Subtitles in a generation: the film's own and those uploaded beside it, named for what they are."""

from __future__ import annotations

import asyncio
import re
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from core.database import Database
from core.domain import media
from core.domain.media import NewFile
from core.domain.media_subtitles import Cue, TextKind
from core.domain.media_texts import NewText
from core.ids import DEFAULT_TENANT, uuid7
from core.objects import ObjectStore
from core.viewer import service
from tests.transcoder.sources import FAST, decode_warnings, encode_locally, make, picture, sound
from tests.transcoder.test_worker import job, look, submit, task_of
from transcoder.texts import Text, choose_texts
from transcoder.verify import verify
from transcoder.worker import Worker

ASS = (
    b"[Script Info]\n\n[Events]\nFormat: Layer, Start, End, Style, Text\n"
    b"Dialogue: 0,0:00:00.50,0:00:01.50,Default,{\\i1}Hallo{\\i0} & 1 < 2\n"
)
WORDS = Cue(0, 1000, "", "words")

texts = st.lists(
    st.builds(
        lambda kind, language, cues: Text(kind, language, language, (WORDS,) * cues),
        st.sampled_from(["subtitles", "captions", "forced"]),
        st.sampled_from(["de", "en"]),
        st.integers(0, 1),
    ),
    max_size=6,
)


@given(texts, texts)
def test_what_was_given_takes_the_place_of_the_films_own(own: list[Text], given_: list[Text]) -> None:
    chosen = choose_texts(own, given_)
    assert [text for text in chosen if text in given_] == [text for text in chosen if text.cues and text in given_]
    kinds = {(text.kind, text.language) for text in given_}
    assert all(text.cues for text in chosen)
    assert [text for text in own if text.cues and (text.kind, text.language) not in kinds] == [
        text for text in chosen if (text.kind, text.language) not in kinds
    ]


async def give(database: Database, objects: ObjectStore, content_id: UUID, data: bytes, said: NewText) -> None:
    """As the upload's last byte does."""
    file_id = uuid7()
    await objects.put(f"files/{file_id}/source", data)
    checksum = f"sha256:{sha256(data).hexdigest()}"
    file = NewFile(
        file_id, "words.ass", len(data), "text/plain", checksum, "file", None, f"files/{file_id}/source", None
    )
    async with database.transaction(service()) as tx:
        await media.submit_text(tx, file, said)


async def test_tracks_say_what_they_are_and_who_they_are_for(tmp_path: Path) -> None:
    """Forced subtitles, subtitles for those who do not hear, a sound for those who do not see: which is never the default."""
    words = tmp_path / "words.srt"
    words.write_text("1\n00:00:00,500 --> 00:00:02,000\nI <3 you\n")
    kinds = ("-disposition:s:0", "0", "-disposition:s:1", "forced", "-disposition:s:2", "hearing_impaired")
    path = make(
        tmp_path / "tracks.mkv", *picture(), *sound(440), *sound(880), "-i", str(words), "-map", "0", "-map", "1", "-map", "2",
        *("-map", "3", "-map", "3", "-map", "3"), *FAST, "-c:a", "aac", "-c:s", "srt", "-disposition:a:0", "visual_impaired",
        *("-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=eng", "-metadata:s:s", "language=eng"), *kinds,
    )  # fmt: skip
    made = await encode_locally(path, tmp_path / "work")
    assert verify(made.folder, made.plan.duration, made.source.duration_s) > 0
    assert await decode_warnings(made.folder) == ""
    master = (made.folder / "master.m3u8").read_text()
    found = re.findall(r'#EXT-X-MEDIA:TYPE=(\w+),.*?NAME="([^"]+)".*?DEFAULT=(\w+)', master)
    assert found == [
        ("AUDIO", "English", "YES"), ("AUDIO", "English (described)", "NO"),
        ("SUBTITLES", "English", "NO"), ("SUBTITLES", "English (forced)", "NO"), ("SUBTITLES", "English (SDH)", "NO"),
    ]  # fmt: skip
    assert re.findall(r'NAME="([^"]+)".*?,CHARACTERISTICS="([^"]+)"', master) == [
        ("English (described)", "public.accessibility.describes-video"),
        ("English (SDH)", "public.accessibility.transcribes-spoken-dialog,public.accessibility.describes-music-and-sound"),
    ]  # fmt: skip
    assert re.findall(r'NAME="([^"]+)".*?,FORCED=YES', master) == ["English (forced)"]
    roles = re.findall(r'<Role [^>]*value="([^"]+)"', (made.folder / "manifest.mpd").read_text())
    assert roles == ["main", "main", "description", "subtitle", "forced-subtitle", "caption"]
    assert "\nI &lt;3 you\n" in (made.folder / "subtitles/en/0.vtt").read_text()


async def test_what_is_uploaded_beside_a_film_is_offered_with_it(
    database: Database, objects: ObjectStore, tmp_path: Path
) -> None:
    words = tmp_path / "words.srt"
    words.write_text("1\n00:00:00,500 --> 00:00:01,000\nIts own\n")
    path = make(
        tmp_path / "film.mkv", *picture(seconds=2), "-i", str(words), "-map", "0", "-map", "1", "-map", "1", *FAST, "-c:s", "srt",
        "-metadata:s:s:0", "language=ger", "-metadata:s:s:1", "language=fre",
    )  # fmt: skip
    made = await submit(database, objects, path)
    kinds: tuple[tuple[TextKind, str, bool], ...] = (
        ("subtitles", "Deutsch, neu", False),
        ("captions", "Für alle", True),
    )
    for kind, label, is_default in kinds:
        await give(database, objects, made.content_id, ASS, NewText(made.content_id, "de", label, kind, is_default))
    await Worker(database, objects, tmp_path / "scratch").handle(DEFAULT_TENANT, await task_of(database, made.job_id))
    assert (await job(database, made.job_id))["state"] == "succeeded"
    row = await look(database, "SELECT store_prefix FROM generations")
    folder = Path(objects.url.removeprefix("file://")) / str(row["store_prefix"])
    master = await asyncio.to_thread((folder / "master.m3u8").read_text)
    found = re.findall(r'TYPE=SUBTITLES,.*?NAME="([^"]+)",LANGUAGE="(\w+)",DEFAULT=(\w+)', master)
    assert found == [("Français", "fr", "NO"), ("Deutsch, neu", "de", "NO"), ("Für alle", "de", "YES")]
    document = await asyncio.to_thread((folder / "subtitles/de-2/0.vtt").read_text)
    assert document.endswith("\n\n00:00:00.500 --> 00:00:01.500\nHallo &amp; 1 &lt; 2\n\n")
    assert await decode_warnings(folder) == ""
