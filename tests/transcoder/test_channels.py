"""How many channels a frame of AC-3 has is read from its own head, whatever the bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transcoder.sources import make, sound
from transcoder.channels import LayoutWatch, read_layout


@pytest.mark.parametrize("codec", ["ac3", "eac3"])
def test_each_layout_has_a_number_of_its_own(codec: str, tmp_path: Path) -> None:
    """ETSI TS 102 366, 4.4.2.3: acmod 1 is mono, 2 stereo, 7 all five; the low frequencies are one bit more."""
    found = {}
    for layout in ("mono", "stereo", "2.1", "3.0", "4.0", "5.0", "5.1"):
        path = make(tmp_path / f"{layout}.{codec}", *sound(seconds=0.2), "-af", f"aformat=channel_layouts={layout}")
        found[layout] = read_layout(path.read_bytes())
    assert found == {"mono": 2, "stereo": 4, "2.1": 5, "3.0": 6, "4.0": 10, "5.0": 14, "5.1": 15}


@given(st.lists(st.binary(max_size=12), max_size=6))
def test_any_bytes_are_looked_at_without_an_error(packets: list[bytes]) -> None:
    watch = LayoutWatch()
    for packet in packets:
        watch.look(1, b"\x0b\x77" + packet)
        assert read_layout(packet) is None or packet[:2] == b"\x0b\x77"
    layouts = {layout for packet in packets if (layout := read_layout(b"\x0b\x77" + packet)) is not None}
    assert watch.changing == ({1} if len(layouts) > 1 else set())
