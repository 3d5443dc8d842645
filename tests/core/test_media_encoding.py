"""How an installation says what its films are encoded in: understood whole, or refused at the start with its mend."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.media_encoding import AS_SET, USUAL, Encoding, check_codecs, check_encoding, read_codecs
from core.variables import SettingsError
from edge.settings import read_settings

encodings = st.builds(
    Encoding,
    st.none() | st.lists(st.sampled_from(["h264", "hevc", "av1", "vp9"]), max_size=4).map(tuple),
    st.none() | st.sampled_from(["fast", "auto", "best"]),
    st.none() | st.booleans(),
)


def test_an_installation_that_says_nothing_is_usual() -> None:
    assert read_settings({}).encoding == USUAL


def test_what_it_says_is_understood() -> None:
    env = {"PENSTOCK_CODECS": " h264, AV1 ,hevc", "PENSTOCK_QUALITY": "auto", "PENSTOCK_ENCRYPTION": "aes-128"}
    assert read_settings(env).encoding == Encoding(("h264", "av1", "hevc"), "auto", True)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PENSTOCK_CODECS", "av1"),
        ("PENSTOCK_CODECS", "h264,vp9"),
        ("PENSTOCK_CODECS", "h264,h264"),
        ("PENSTOCK_CODECS", ","),
        ("PENSTOCK_QUALITY", "best"),
        ("PENSTOCK_ENCRYPTION", "on"),
    ],
)
def test_a_wrong_one_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings({variable: value})
    assert refused.value.variable == variable


@given(encodings, encodings)
def test_what_a_job_says_outweighs_what_is_set(asked: Encoding, default: Encoding) -> None:
    found = asked.over(default)
    for name in ("codecs", "quality", "encrypt"):
        said = getattr(asked, name)
        assert getattr(found, name) == (getattr(default, name) if said is None else said)
    assert asked.over(AS_SET) == asked


@given(encodings)
def test_only_what_can_be_made_is_taken(asked: Encoding) -> None:
    is_sound = asked.codecs is None or (
        "h264" in asked.codecs and len(set(asked.codecs)) == len(asked.codecs) and "vp9" not in asked.codecs
    )
    assert (check_encoding(asked) is None) == (is_sound and asked.quality != "best")


@given(st.text(max_size=60))
def test_any_list_is_read_and_only_known_codecs_pass(text: str) -> None:
    codecs = read_codecs(text)
    if check_codecs(codecs) is None:
        assert set(codecs) <= {"h264", "hevc", "av1"}
