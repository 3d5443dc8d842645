"""Boxes: what is written reads back; whatever else is read is refused, never followed out of bounds."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcoder.boxes import Mp4Error, boxes
from transcoder.fragments import fragment_head
from transcoder.mp4 import Sample, read_fragment, read_track

samples = st.lists(
    st.builds(Sample, st.integers(0, 2**20), st.integers(1, 2**16), st.integers(-(2**15), 2**15), st.just(False)),
    max_size=80,
)


@given(st.integers(0, 2**60), samples, st.integers(1, 2**20), st.booleans())
def test_a_fragment_reads_back_as_it_was_written(
    decode_time: int, rest: list[Sample], first_size: int, all_sync: bool
) -> None:
    written = [Sample(first_size, 512, 0, True), *(Sample(s.size, s.duration, s.cts, all_sync) for s in rest)]
    shift = max(-s.cts for s in written)
    head = fragment_head(7, 1, decode_time, written, shift)
    moof, mdat = head[:-8], head[-8:]
    fragment = read_fragment(moof)
    assert fragment.decode_time == decode_time
    assert [(s.size, s.duration, s.cts - shift, s.is_sync) for s in fragment.samples] == [
        (s.size, s.duration, s.cts, s.is_sync) for s in written
    ]
    assert fragment.data_offset == len(head)
    assert struct.unpack(">I4s", mdat) == (8 + sum(s.size for s in written), b"mdat")


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_refused_cleanly(data: bytes) -> None:
    for reader in (lambda: list(boxes(data)), lambda: read_track(data), lambda: read_fragment(data)):
        try:
            reader()
        except Mp4Error:
            continue


@given(st.data())
def test_a_damaged_fragment_is_refused_or_read_within_bounds(data: st.DataObject) -> None:
    head = bytearray(fragment_head(1, 1, 0, [Sample(10, 512, 0, True), Sample(9, 512, 0, False)], 0)[:-8])
    for _ in range(data.draw(st.integers(1, 6))):
        head[data.draw(st.integers(0, len(head) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert len(read_fragment(bytes(head)).samples) < 2**20
    except Mp4Error:
        return


@pytest.mark.parametrize("size", [0, 1, 7, 2**31, 2**32 - 1])
def test_a_box_of_impossible_size_is_refused(size: int) -> None:
    with pytest.raises(Mp4Error):
        list(boxes(struct.pack(">I4s", size, b"moov") + b"1234"))
