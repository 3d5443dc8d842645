"""What is noted of the newest positions is what the fold says of them, and reads back as it was noted."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from edge.progress.beat import Beat
from edge.progress.fold import Batch
from edge.progress.newest import ORDER_CHARS, notes, order_text, unpack
from edge.progress.partitions import newest_key
from edge.progress.stream import unpack_beats
from tests.edge.progress.test_fold import beats


@given(beats, st.integers(0, 7))
def test_the_notes_say_what_the_fold_says(sent: list[Beat], partition: int) -> None:
    folded = Batch.of(sent).positions
    noted = {(key, field): value for key, field, value in notes(partition, sent)}
    assert noted.keys() == {(newest_key(partition, user), content.bytes) for _, user, content in folded}
    for (_, user, content), position in folded.items():
        value = noted[newest_key(partition, user), content.bytes]
        point, newest = unpack(value), position.newest
        assert value[:ORDER_CHARS] == order_text(newest)
        assert (point.session_id, point.session_at_ms, point.seq) == (
            newest.session_id,
            newest.session_at_ms,
            newest.seq,
        )
        assert (point.position_ms, point.duration_ms, point.at_ms) == (
            newest.position_ms,
            newest.duration_ms,
            newest.at_ms,
        )
        assert (point.is_completed, point.playlist_id) == (position.completed, newest.playlist_id)


@given(beats)
def test_a_packed_batch_is_read_whether_its_ids_are_bytes_or_text(sent: list[Beat]) -> None:
    """Entries that an earlier version has left in the stream have them as text."""
    for uuid_format in ("bytes", "canonical"):
        assert unpack_beats(msgspec.msgpack.Encoder(uuid_format=uuid_format).encode(sent)) == sent
