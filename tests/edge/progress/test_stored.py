"""What the drain takes for an id is what PostgreSQL writes as one, letter for letter."""

from __future__ import annotations

import re
from uuid import uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.progress.beat import Beat
from edge.progress.fold import Batch
from edge.progress.stored import are_ids, check_ids, read_stored
from tests.edge.progress.test_fold import beat, beats

ONE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
GOOD = "01a1ff1d-6882-7430-bbb5-5d1472be083b"

ids = st.uuids().map(str)
nearly = st.builds(
    lambda at, letter, cut: GOOD[:at] + letter + GOOD[at + cut :],
    st.integers(0, 36),
    st.one_of(st.sampled_from(["-", "A", "f", "g", " ", "\n", "", "\u0661", "--"]), st.characters()),
    st.integers(0, 2),
)


@given(
    st.lists(st.one_of(ids, nearly.filter(lambda text: len(text) == 36), st.text(min_size=36, max_size=36)), max_size=6)
)
def test_ids_are_told_from_all_else(texts: list[str]) -> None:
    assert are_ids(texts) == all(ONE.fullmatch(text) for text in texts)


@given(beats)
def test_a_packed_batch_is_read_as_it_was_packed(sent: list[Beat]) -> None:
    read = read_stored(msgspec.msgpack.encode(sent))
    assert [msgspec.convert(msgspec.to_builtins(one), Beat) for one in read] == sent


def one_bad(field: str, bad: str) -> bytes:
    packed = msgspec.msgpack.encode([beat(playlist_id=uuid4()), beat(playlist_id=uuid4(), seq=2)])
    plain = msgspec.msgpack.decode(packed)
    plain[1][list(Beat.__struct_fields__).index(field)] = bad
    return msgspec.msgpack.encode(plain)


FIELDS = ["event_id", "session_id", "tenant_id", "user_id", "content_id", "playlist_id"]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("bad", ["", "x", GOOD.replace("-", ""), "{" + GOOD + "}"])
def test_a_batch_with_an_id_of_another_length_is_refused(field: str, bad: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="length"):
        read_stored(one_bad(field, bad))


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("bad", [GOOD.upper(), GOOD.replace("-", " "), GOOD[:-1] + "g", GOOD[1:] + "-"])
def test_a_batch_with_one_bad_id_is_refused_by_the_time_it_is_folded(field: str, bad: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="not a UUID"):
        check_ids(Batch.of(read_stored(one_bad(field, bad))).named())
