"""Checks a finished generation against the rules players rely on, by its files alone: what was meant does not count.

Blocking, files only. What is decoded is `attempt.py`'s to run, and what the store holds `publish.py`'s to read back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

from transcoder.codecs import range_name
from transcoder.playlists import measure
from transcoder.unsound import Rule, expect
from transcoder.verify_media import ROUNDING, Checked, check_iframes, check_rendition, read_playlist

MASTER = "master.m3u8"
_VARIANT = "#EXT-X-STREAM-INF:"
# One frame of sound at 48 kHz; the picture is cut on exact frames.
SOUND_FRAME = Fraction(1024, 48_000)
# A source's length is where its last packet ends, which a grid of frames meets within one of them.
_SLOWEST_FRAME = Fraction(1, 10)
_BANDWIDTH_SHARE = Fraction(1, 10)
_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^,"]*)')
_FRAME_RATE_ROUNDING = Fraction(1, 1000)


def verify(folder: Path, duration: Fraction, source_s: float | None = None) -> int:
    """Checks every playlist that the master names; how many. `duration` is the plan's, `source_s` the file's. Raises Unsound."""
    lines = (folder / MASTER).read_text("utf-8").splitlines()
    expect(bool(lines) and lines[0] == "#EXTM3U", Rule.PLAYLIST, MASTER, "does not begin with #EXTM3U")
    expect("#EXT-X-INDEPENDENT-SEGMENTS" in lines, Rule.PLAYLIST, MASTER, "lacks EXT-X-INDEPENDENT-SEGMENTS")
    if source_s is not None:
        differing = f"is planned to last {float(duration):.3f} s, the source lasts {source_s:.3f} s"
        expect(abs(float(duration) - source_s) <= _SLOWEST_FRAME, Rule.DURATION, MASTER, differing)
    media = {about["URI"]: about for about in _tags(lines, "EXT-X-MEDIA")}
    frames = {about["URI"]: about for about in _tags(lines, "EXT-X-I-FRAME-STREAM-INF")}
    variants = {lines[number + 1]: _attributes(line) for number, line in enumerate(lines) if line.startswith(_VARIANT)}
    expect(bool(variants), Rule.PLAYLIST, MASTER, "names no rendition")
    for path in (*media, *frames, *variants):
        expect((folder / path).is_file(), Rule.PLAYLIST, path, "is named by the master and not there")
    texts = {path for path, about in media.items() if about["TYPE"] == "SUBTITLES"}
    sounds = {path: check_rendition(folder, path) for path in media if path not in texts}
    shown = {path: check_rendition(folder, path) for path in variants if path not in sounds}
    for path in sorted(texts):
        _check_text(folder, path, duration)
    alone = {path: check_iframes(folder, path) for path in frames}
    everything = {**sounds, **shown, **alone}
    for path, checked in everything.items():
        _check_length(path, checked, duration)
    _check_alignment(shown, sounds)
    _check_groups(variants, media)
    _check_ranges(variants, frames, everything)
    for path, about in variants.items():
        checked = everything[path]
        heard = [s for p, s in sounds.items() if p != path and media[p]["GROUP-ID"] == about.get("AUDIO")]
        _check_variant(path, about, checked, heard)
    for path, about in frames.items():
        _check_picture(path, about, alone[path], {alone[path].track.codecs})
        expect(
            any(v.get("RESOLUTION") == about["RESOLUTION"] for v in variants.values()),
            Rule.IFRAMES,
            path,
            "has no variant",
        )
    return len(everything) + len(texts)


def verify_texts(folder: Path, master_before: str, duration: Fraction, there: frozenset[str]) -> int:
    """Checks what a repackaging changes, by the same rules; how many subtitles it has. Raises Unsound.

    `master_before` is that of the generation whose pictures and sounds were checked when it was made; `there` names its objects.
    """
    lines = (folder / MASTER).read_text("utf-8").splitlines()
    before = master_before.splitlines()
    same = _without_texts(lines) == _without_texts(before)
    expect(same, Rule.PLAYLIST, MASTER, "says something else of pictures and sounds than before")
    media = {about["URI"]: about for about in _tags(lines, "EXT-X-MEDIA")}
    variants = {lines[at + 1]: _attributes(line) for at, line in enumerate(lines) if line.startswith(_VARIANT)}
    texts = sorted(path for path, about in media.items() if about["TYPE"] == "SUBTITLES")
    for path in (*variants, *(path for path in media if path not in texts)):
        expect(path in there, Rule.PLAYLIST, path, "is named by the master and not there")
    for path in texts:
        expect((folder / path).is_file(), Rule.PLAYLIST, path, "is named by the master and not there")
        _check_text(folder, path, duration)
    for path, about in variants.items():
        offered = ("SUBTITLES" in about) == bool(texts)
        expect(offered, Rule.GROUPS, path, "names a group of subtitles and there are none, or the other way round")
    _check_groups(variants, media)
    return len(texts)


def _without_texts(lines: list[str]) -> list[str]:
    kept = (line for line in lines if not line.startswith("#EXT-X-MEDIA:TYPE=SUBTITLES"))
    return [re.sub(r',SUBTITLES="[^"]*"', "", line) if line.startswith(_VARIANT) else line for line in kept]


def _tags(lines: list[str], name: str) -> list[dict[str, str]]:
    return [_attributes(line) for line in lines if line.startswith(f"#{name}:")]


def _attributes(line: str) -> dict[str, str]:
    return {name: value.strip('"') for name, value in _ATTRIBUTE.findall(line.partition(":")[2])}


def _check_length(path: str, checked: Checked, duration: Fraction) -> None:
    tolerance = ROUNDING * len(checked.listed.entries)
    if checked.track.handler == "soun":
        tolerance += SOUND_FRAME
    differing = f"lasts {float(checked.duration):.6f} s, the title {float(duration):.6f} s"
    expect(abs(checked.duration - duration) <= tolerance, Rule.DURATION, path, differing)


def _check_alignment(shown: Mapping[str, Checked], sounds: Mapping[str, Checked]) -> None:
    """All pictures have the same cuts, the sounds the same within a frame of sound; one target duration for both."""
    renditions = [*shown.items(), *sounds.items()]
    first_path, first = renditions[0]
    for path, checked in renditions[1:]:
        same = checked.listed.target_s == first.listed.target_s
        expect(same, Rule.TARGET_DURATION, path, f"has another target duration than {first_path}")
        ours, theirs = _cuts(checked), _cuts(first)
        is_sound = "soun" in (checked.track.handler, first.track.handler)
        tolerance = ROUNDING * len(ours) + (SOUND_FRAME if is_sound else 0)
        expect(len(ours) == len(theirs), Rule.ALIGNMENT, path, f"has {len(ours)} segments, {first_path} {len(theirs)}")
        for number, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            apart = f"segment {number} ends at {float(mine):.6f} s, at {float(other):.6f} s in {first_path}"
            expect(abs(mine - other) <= tolerance, Rule.ALIGNMENT, path, apart)


def _cuts(checked: Checked) -> list[Fraction]:
    ends, now = [], Fraction(0)
    for piece in checked.listed.entries:
        now += piece.duration
        ends.append(now)
    return ends


def _check_groups(variants: Mapping[str, Mapping[str, str]], media: Mapping[str, Mapping[str, str]]) -> None:
    groups: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for about in media.values():
        groups.setdefault((about["TYPE"], about["GROUP-ID"]), []).append(about)
    for (kind, name), members in groups.items():
        names = [about["NAME"] for about in members]
        expect(len(set(names)) == len(names), Rule.GROUPS, MASTER, f"{kind} group {name} has a NAME twice")
        defaults = sum(about["DEFAULT"] == "YES" for about in members)
        expect(defaults <= 1, Rule.GROUPS, MASTER, f"{kind} group {name} has {defaults} defaults")
    for path, about in variants.items():
        for kind in ("AUDIO", "SUBTITLES"):
            known = kind not in about or (kind, about[kind]) in groups
            expect(known, Rule.GROUPS, path, f"names the {kind} group {about.get(kind)}, which is not there")


def _check_ranges(
    variants: Mapping[str, Mapping[str, str]],
    frames: Mapping[str, Mapping[str, str]],
    everything: Mapping[str, Checked],
) -> None:
    scored = sum("SCORE" in about for about in variants.values())
    expect(scored in (0, len(variants)), Rule.SCORE, MASTER, f"{scored} of {len(variants)} variants have a SCORE")
    found = {path: range_name(everything[path].track.transfer) for path in (*variants, *frames)}
    shown = {found[path] for path in variants}
    expect("SDR" in shown, Rule.RANGE, MASTER, "no variant is SDR")
    for path, about in (*variants.items(), *frames.items()):
        stated = about.get("VIDEO-RANGE")
        missing = stated is None and len(shown) > 1
        expect(not missing, Rule.RANGE, path, "has no VIDEO-RANGE beside others that are not SDR")
        differing = f"VIDEO-RANGE says {stated}, the init segment {found[path]}"
        expect(stated in (None, found[path]), Rule.RANGE, path, differing)


def _check_variant(path: str, about: Mapping[str, str], checked: Checked, heard: list[Checked]) -> None:
    _check_picture(path, about, checked, {checked.track.codecs} | {sound.track.codecs for sound in heard})
    target_s = checked.listed.target_s
    own, others = measure(checked.listed.entries, target_s), [measure(s.listed.entries, target_s) for s in heard]
    peak, average = max((o.peak_bps for o in others), default=0), max((o.average_bps for o in others), default=0)
    if checked.track.handler == "soun":
        # Another sound is heard in place of this one, not beside it.
        peak, average = max(own.peak_bps, peak), max(own.average_bps, average)
    else:
        peak, average = own.peak_bps + peak, own.average_bps + average
    for name, measured in (("BANDWIDTH", peak), ("AVERAGE-BANDWIDTH", average)):
        stated = int(about.get(name, 0))
        apart = f"{name} says {stated}, its segments {measured}"
        expect(abs(stated - measured) <= measured * _BANDWIDTH_SHARE, Rule.BANDWIDTH, path, apart)


def _check_picture(path: str, about: Mapping[str, str], checked: Checked, codecs: set[str]) -> None:
    stated = set(about.get("CODECS", "").split(","))
    expect(stated == codecs, Rule.CODECS, path, f"CODECS says {sorted(stated)}, the init segments {sorted(codecs)}")
    track = checked.track
    if track.handler != "vide":
        return
    size = f"{track.width}x{track.height}"
    expect(
        about.get("RESOLUTION") == size,
        Rule.RESOLUTION,
        path,
        f"RESOLUTION says {about.get('RESOLUTION')}, the picture {size}",
    )
    if checked.sample_duration:
        rate = 1 / checked.sample_duration
        differing = f"FRAME-RATE says {about.get('FRAME-RATE')}, the samples {float(rate):.3f}"
        expect(
            abs(Fraction(about.get("FRAME-RATE", "0")) - rate) <= _FRAME_RATE_ROUNDING, Rule.RESOLUTION, path, differing
        )


def _check_text(folder: Path, path: str, duration: Fraction) -> None:
    listed = read_playlist(folder, path)
    for piece in listed.entries:
        document = ((folder / path).parent / piece.uri).read_text("utf-8")
        headed = document.startswith("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n\n")
        expect(headed, Rule.TEXT, path, f"{piece.uri} has no header on the media's clock")
    total = sum((piece.duration for piece in listed.entries), Fraction(0))
    differing = f"lasts {float(total):.6f} s, the title {float(duration):.6f} s"
    expect(abs(total - duration) <= ROUNDING * len(listed.entries), Rule.DURATION, path, differing)
