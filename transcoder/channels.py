"""Reads from coded sound how many channels it has, packet by packet: a broadcast's changes with the programme. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

DOWNMIXED = frozenset({"ac3", "eac3"})
"""Codecs whose decoder mixes down to stereo itself, so that what comes out of it never changes."""
_AC3_SYNC = b"\x0b\x77"
_EAC3_BSID = 11
_DEPENDENT = 1


def read_layout(packet: bytes) -> int | None:
    """A number for the layout of one (E-)AC-3 frame (ETSI TS 102 366: acmod, lfeon); None when it says none of its own."""
    if len(packet) < 8 or packet[:2] != _AC3_SYNC:
        return None
    if packet[5] >> 3 >= _EAC3_BSID:
        # A dependent substream adds channels to the frame before it.
        return None if packet[2] >> 6 == _DEPENDENT else packet[4] & 0xF
    acmod = packet[6] >> 5
    # After acmod come up to two mixing levels of two bits, each where its channels are.
    skipped = 2 * ((acmod & 1 and acmod != 1) + bool(acmod & 4) + (acmod == 2))
    lfe = int.from_bytes(packet[6:8], "big") >> (16 - 4 - skipped) & 1
    return acmod << 1 | lfe


@dataclass(slots=True)
class LayoutWatch:
    """Which streams have had more than one layout."""

    changing: set[int] = field(default_factory=set)
    _first: dict[int, int] = field(default_factory=dict)

    def look(self, stream: int, packet: bytes) -> None:
        """Looks at one packet of an (E-)AC-3 stream."""
        layout = read_layout(packet)
        if layout is not None and self._first.setdefault(stream, layout) != layout:
            self.changing.add(stream)
