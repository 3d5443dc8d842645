"""Every playlist of every demo title against the HLS rules: hls-parser's strict mode, then what it misses.

Numbers name sections of Apple's authoring specification (A) and RFC 8216 (R).
"""

from __future__ import annotations

import gzip
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.settings import ROOT
from edge.cli.tools import node_path
from tests.demo import ADA, CAPTIONED, MUSIC, Demo
from tests.e2e.paths import PLAIN, Tree, read_tree
from tests.web import Person, signed_in

pytestmark = [pytest.mark.timeout(1200)]

TITLES = (0, 1, 2, 3, 4, 5)
FRAME_S = 1 / 24
"""The longest frame of the demo's titles."""


async def tree_of(person: Person, demo: Demo, number: int) -> Tree:
    """The playlists of the demo's title with this number."""
    return await read_tree(person, await person.play(demo.titles[number]["id"]))


@pytest.fixture(scope="module")
def trees() -> dict[int, Tree]:
    """Playlists that have been read, by title: they do not change, and reading them takes a sign-in and a dozen requests."""
    return {}


@pytest.fixture(params=TITLES)
async def tree(request: pytest.FixtureRequest, demo: Demo, trees: dict[int, Tree]) -> Tree:
    """The playlists of each title in turn."""
    if request.param not in trees:
        async with signed_in(demo, ADA) as ada:
            trees[request.param] = await tree_of(ada, demo, request.param)
    return trees[request.param]


def attributes(line: str) -> dict[str, str]:
    """The attribute list of a tag, values without their quotes."""
    pairs = re.findall(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)', line.partition(":")[2])
    return {name: value.strip('"') for name, value in pairs}


def tags(text: str, name: str) -> list[dict[str, str]]:
    """Every tag of this name."""
    return [attributes(line) for line in text.splitlines() if line.startswith(f"#{name}:")]


@dataclass(frozen=True)
class Variant:
    """One EXT-X-STREAM-INF and its playlist's name."""

    about: Mapping[str, str]
    name: str


def variants(tree: Tree) -> list[Variant]:
    """The variants in the order of the master playlist."""
    lines = tree.master.splitlines()
    return [
        Variant(attributes(line), lines[number + 1])
        for number, line in enumerate(lines)
        if line.startswith("#EXT-X-STREAM-INF:")
    ]


def extinfs(text: str) -> list[float]:
    """The durations of its segments."""
    return [float(value) for value in re.findall(r"^#EXTINF:([0-9.]+),", text, re.M)]


def media_playlists(tree: Tree) -> Iterator[tuple[str, str]]:
    """Every media playlist, by name."""
    yield from ((name, text) for name, text in tree.playlists.items() if name != "master.m3u8")


@pytest.mark.needs("node")
def test_hls_parser_in_strict_mode_takes_every_playlist(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "playlists.json").write_text(json.dumps(tree.playlists))
    script = ROOT / "tests" / "conformance" / "strict.mjs"
    done = subprocess.run(
        ["node", str(script), str(tmp_path / "playlists.json")],
        capture_output=True,
        text=True,
        env={"PATH": node_path()},
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, f"{len(tree.playlists)} parsed"), done.stderr


def test_playlists_are_plain_utf8_without_a_mark(tree: Tree) -> None:
    """R 4.1: no byte order mark, no control characters; R 4.3.1.1: the first line is the tag."""
    for name, text in tree.playlists.items():
        assert text.startswith("#EXTM3U\n"), name
        assert "\ufeff" not in text, name
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text), name
        assert text.endswith("\n"), name
        assert len(re.findall(r"^#EXT-X-VERSION:", text, re.M)) == 1, name


def test_attributes_are_quoted_as_the_grammar_says(tree: Tree) -> None:
    """R 4.2: quoted strings are quoted, enumerated strings and numbers are not, nothing has spaces around its sign."""
    quoted = {"URI", "CODECS", "AUDIO", "SUBTITLES", "GROUP-ID", "NAME", "LANGUAGE", "CHANNELS", "CHARACTERISTICS"}
    for name, text in tree.playlists.items():
        for line in text.splitlines():
            if not line.startswith("#EXT-X-") or "=" not in line:
                continue
            for attribute, value in re.findall(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)', line.partition(":")[2]):
                assert value.startswith('"') == (attribute in quoted), (name, line)
                assert " " not in value.strip('"') or attribute == "NAME", (name, line)


def test_every_variant_says_what_a_player_must_know(tree: Tree) -> None:
    """A 9.1, 9.2, 9.14, 9.15."""
    found = variants(tree)
    assert found
    for variant in found:
        about = variant.about
        assert int(about["BANDWIDTH"]) >= int(about["AVERAGE-BANDWIDTH"]) > 0
        assert about["CODECS"]
        for codec in about["CODECS"].split(","):
            assert re.fullmatch(r"avc1\.[0-9a-f]{6}|mp4a\.40\.2", codec), codec
        if any(codec.startswith("avc1") for codec in about["CODECS"].split(",")):
            assert re.fullmatch(r"\d+x\d+", about["RESOLUTION"])
            assert 0 < float(about["FRAME-RATE"]) <= 60
    bandwidths = [int(variant.about["BANDWIDTH"]) for variant in found]
    assert len(set(bandwidths)) == len(bandwidths)


def test_aspect_ratios_agree(tree: Tree) -> None:
    """A 1.33, within what even pixel counts allow."""
    sizes = [variant.about["RESOLUTION"].split("x") for variant in variants(tree) if "RESOLUTION" in variant.about]
    ratios = [int(width) / int(height) for width, height in sizes]
    assert not ratios or max(ratios) - min(ratios) < 0.02


def test_the_master_names_only_groups_that_exist(tree: Tree) -> None:
    """R 4.3.4.2; A 8.10 for the language."""
    groups = tags(tree.master, "EXT-X-MEDIA")
    for variant in variants(tree):
        for kind in ("AUDIO", "SUBTITLES"):
            if kind in variant.about:
                assert [g for g in groups if g["TYPE"] == kind and g["GROUP-ID"] == variant.about[kind]], variant
    for group in groups:
        assert group["NAME"]
        assert re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]+)*", group["LANGUAGE"]), group
        if group.get("DEFAULT") == "YES":
            assert group.get("AUTOSELECT") == "YES"
    for kind in ("AUDIO", "SUBTITLES"):
        ids = {group["GROUP-ID"] for group in groups if group["TYPE"] == kind}
        for group_id in ids:
            members = [group for group in groups if group["TYPE"] == kind and group["GROUP-ID"] == group_id]
            assert len({member["NAME"] for member in members}) == len(members)
            assert sum(member.get("DEFAULT") == "YES" for member in members) <= 1


def test_independent_segments_are_promised_once_for_all(tree: Tree) -> None:
    """A 9.11."""
    assert "#EXT-X-INDEPENDENT-SEGMENTS" in tree.master


def test_video_titles_have_i_frame_playlists(tree: Tree) -> None:
    """A 6.1, 9.3, 9.4."""
    video = [variant for variant in variants(tree) if "RESOLUTION" in variant.about]
    listed = tags(tree.master, "EXT-X-I-FRAME-STREAM-INF")
    assert len(listed) == len(video)
    for about in listed:
        assert about["CODECS"].startswith("avc1.")
        assert about["RESOLUTION"] in {variant.about["RESOLUTION"] for variant in video}
        text = tree.playlists[about["URI"]]
        assert "#EXT-X-I-FRAMES-ONLY" in text
        assert "#EXT-X-BYTERANGE:" in text


def test_media_playlists_are_whole_vod(tree: Tree) -> None:
    """A 8.6, R 4.3.3.1, A 7.7: type, end, target duration, a comma after every duration."""
    for name, text in media_playlists(tree):
        assert "#EXT-X-PLAYLIST-TYPE:VOD\n" in text, name
        assert text.rstrip().endswith("#EXT-X-ENDLIST"), name
        target = int(re.findall(r"^#EXT-X-TARGETDURATION:(\d+)$", text, re.M)[0])
        durations = extinfs(text)
        assert durations, name
        assert all(round(duration) <= target for duration in durations), name
        assert len(re.findall(r"^#EXTINF:[^,\n]+,", text, re.M)) == len(re.findall(r"^#EXTINF", text, re.M)), name


def test_picture_and_sound_share_a_target_duration(tree: Tree) -> None:
    """A 8.2."""
    targets = {
        re.findall(r"^#EXT-X-TARGETDURATION:(\d+)$", text, re.M)[0]
        for name, text in media_playlists(tree)
        if name.startswith(("video/", "audio/")) and "I-FRAMES-ONLY" not in text
    }
    assert len(targets) == 1


def test_all_renditions_cover_the_same_time(tree: Tree) -> None:
    """A 8.7: the sums of durations agree within a frame; subtitles reach to the end (A 5.5)."""
    sums = {name: sum(extinfs(text)) for name, text in media_playlists(tree)}
    assert max(sums.values()) - min(sums.values()) <= FRAME_S + 0.001, sums


def test_video_segments_have_the_same_borders_in_every_variant(tree: Tree) -> None:
    """A 8.22."""
    borders = {
        tuple(extinfs(tree.playlists[variant.name])) for variant in variants(tree) if "RESOLUTION" in variant.about
    }
    assert len(borders) <= 1


def test_the_captioned_title_offers_its_subtitles_and_music_has_no_picture(demo: Demo, tree: Tree) -> None:
    kinds = [group["TYPE"] for group in tags(tree.master, "EXT-X-MEDIA")]
    if demo.id_of(CAPTIONED) in tree.base:
        languages = [g["LANGUAGE"] for g in tags(tree.master, "EXT-X-MEDIA") if g["TYPE"] == "SUBTITLES"]
        assert sorted(languages) == ["de", "en"]
        assert all("SUBTITLES" in variant.about for variant in variants(tree))
    else:
        assert "SUBTITLES" not in kinds
    if demo.id_of(MUSIC) in tree.base:
        assert not any("RESOLUTION" in variant.about for variant in variants(tree))


async def sizes_of(person: Person, tree: Tree, name: str) -> list[int]:
    """The sizes in bytes of a playlist's segments."""
    lines = [line for line in tree.playlists[name].splitlines() if line and not line.startswith("#")]
    return [
        int((await person.get(tree.folder_of(name) + line, method="HEAD")).headers["content-length"]) for line in lines
    ]


@pytest.mark.parametrize("number", TITLES)
async def test_bandwidth_is_what_is_measured(demo: Demo, number: int) -> None:
    """A 9.13, 1.26, 1.27: peak and average of the segments themselves, within a tenth."""
    async with signed_in(demo, ADA) as ada:
        tree = await tree_of(ada, demo, number)
        audio = [group["URI"] for group in tags(tree.master, "EXT-X-MEDIA") if group["TYPE"] == "AUDIO"]
        rates = {
            name: [
                8 * size / duration
                for size, duration in zip(await sizes_of(ada, tree, name), extinfs(text), strict=True)
            ]
            for name, text in media_playlists(tree)
            if name in audio or name in {variant.name for variant in variants(tree)}
        }
    for variant in variants(tree):
        heaviest = (
            max((max(rates[name]) for name in audio if name != variant.name), default=0)
            if "AUDIO" in variant.about
            else 0
        )
        peak = max(rates[variant.name]) + heaviest
        durations = extinfs(tree.playlists[variant.name])
        average = sum(r * d for r, d in zip(rates[variant.name], durations, strict=True)) / sum(durations)
        if "AUDIO" in variant.about:
            average += max(
                (
                    sum(r * d for r, d in zip(rates[name], extinfs(tree.playlists[name]), strict=True))
                    / sum(extinfs(tree.playlists[name]))
                    for name in audio
                    if name != variant.name
                ),
                default=0,
            )
        assert int(variant.about["BANDWIDTH"]) == pytest.approx(peak, rel=0.1), variant.name
        assert int(variant.about["AVERAGE-BANDWIDTH"]) == pytest.approx(average, rel=0.1), variant.name


async def test_subtitle_segments_are_webvtt_on_the_media_clock(demo: Demo) -> None:
    """A 5.3: the header, the map directly below it, a blank line; cues with text."""
    async with signed_in(demo, ADA) as ada:
        tree = await read_tree(ada, await ada.play(demo.id_of(CAPTIONED)))
        found = 0
        for group in tags(tree.master, "EXT-X-MEDIA"):
            if group["TYPE"] != "SUBTITLES":
                continue
            for line in tree.playlists[group["URI"]].splitlines():
                if not line or line.startswith("#"):
                    continue
                answer = await ada.get(tree.folder_of(group["URI"]) + line, headers=PLAIN)
                assert answer.headers["content-type"].startswith("text/vtt")
                head, stamp, blank, *_ = [*answer.body.decode().splitlines(), "", ""]
                assert head == "WEBVTT"
                assert re.fullmatch(r"X-TIMESTAMP-MAP=(MPEGTS:\d+,LOCAL:[\d:.]+|LOCAL:[\d:.]+,MPEGTS:\d+)", stamp)
                assert blank == ""
                found += answer.body.count(b"-->")
        assert found >= 10


async def test_every_playlist_is_compressed_when_accepted(demo: Demo) -> None:
    """A 10.1."""
    async with signed_in(demo, ADA) as ada:
        tree = await tree_of(ada, demo, 0)
        for name, text in tree.playlists.items():
            answer = await ada.get(f"{tree.base}/{name}", headers={"Accept-Encoding": "gzip"})
            assert answer.headers["content-encoding"] == "gzip", name
            assert gzip.decompress(answer.body).decode() == text, name
