"""Why a piece failed, as staff read it: the rule by name, the tool's words, and nothing of the machine they were said on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import errors
from core.domain.media_failures import BrokenRule, rule_of, tidy, words_of

ENCODE = errors.ENCODE_FAILED.code
VERIFY = errors.VERIFY_FAILED.code
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-.", min_size=1, max_size=20).filter(lambda name: name.strip("."))


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("[in#0 @ 0x55d0c8] Error opening input /srv/scratch/t-3/source: Invalid data", "[in#0] Error opening input source: Invalid data"),
        ("'/srv/my media/scratch/1/out/video/1080p/3.m4s': No such file", "'3.m4s': No such file"),
        ("video/1080p/playlist.m3u8 lasts 3.1 s", "video/1080p/playlist.m3u8 lasts 3.1 s"),
        ("24000/1001 frames, 1/2 of them lost", "24000/1001 frames, 1/2 of them lost"),
        ("\x1b[31mred\x1b[0m \u202eevil", "[31mred[0m evil"),
        ("first\nsecond /tmp/a/b.mp4", "first\nsecond b.mp4"),
    ],
)  # fmt: skip
def test_words_lose_folders_addresses_and_control_characters(said: str, left: str) -> None:
    assert words_of(ENCODE, said) == left


@given(
    st.lists(NAMES, min_size=2, max_size=6), st.sampled_from(["{}", "'{}'", "open {}: no", "({})", "file:{}", "a={}"])
)
def test_no_folder_of_an_absolute_path_is_left(folders: list[str], around: str) -> None:
    said = around.format("/" + "/".join(folders))
    kept = tidy(said)
    assert "/" not in kept
    assert kept == around.format(folders[-1])


@pytest.mark.parametrize("code", [errors.UNAVAILABLE, errors.INTERNAL, errors.DISK_FULL, errors.NOT_CONFINED])
def test_what_other_systems_said_is_the_operators_alone(code: errors.Code) -> None:
    assert words_of(code.code, "http://store.internal:9000/bucket: AccessDenied") is None


def test_a_broken_rule_is_taken_apart() -> None:
    said = "rule key-frame of video/1080p/playlist.m3u8: segment 3 begins without an IDR picture"
    assert rule_of(VERIFY, said) == BrokenRule(
        "key-frame", "video/1080p/playlist.m3u8", "segment 3 begins without an IDR picture"
    )
    assert rule_of(VERIFY, "rule decode of audio/0-en/playlist.m3u8: /srv/x/out/a.m4s: bad\nworse") == BrokenRule(
        "decode", "audio/0-en/playlist.m3u8", "a.m4s: bad\nworse"
    )
    assert rule_of(VERIFY, "the encoder's output cannot be packaged") is None
    assert rule_of(VERIFY, None) is None
    assert rule_of(ENCODE, said) is None
