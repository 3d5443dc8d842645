"""Chooses a title's own ladder from measured points of rate and quality: the convex hull over all sizes. Pure.

Along the hull every bit is spent at the size where it shows most (Katsavounidis, "Dynamic optimizer", Netflix 2018). A size
is worth a rendition up to the rate at which the next larger one begins to look better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

from transcoder.ladder import Rung, Tuned

TARGET_SCORE = 95.0
"""VMAF beyond which people see no difference on a television."""
PEAK_FACTOR = 2
"""Apple 1.28: a peak is at most twice the average."""
_NEAREST_RATE = 0.85
# A title may be livelier elsewhere than where it was measured: no peak is bounded below this part of the usual.
_FLOOR = 20


@dataclass(frozen=True, slots=True)
class Point:
    """One size at one constant quality: what it cost and how good it looked, 0 to 100, enlarged to the largest size."""

    lines: int
    crf: int
    bps: float
    score: float


def decide_ladder(points: Sequence[Point], rungs: Sequence[Rung]) -> tuple[Tuned, ...]:
    """What to keep of the fixed ladder `rungs`, with which quality and peak; nothing when nothing usable was measured.

    Sizes and peaks fall strictly, no peak is above the fixed ladder's, and its smallest rung stays for the slowest networks.
    """
    caps = {rung.lines: rung.max_bps for rung in rungs}
    usable = [point for lines, cap in caps.items() for point in _below(cap, [p for p in points if p.lines == lines])]
    if not usable:
        return ()
    hull = upper_hull(usable)
    chosen = {point.lines: point for point in hull}
    reached = next((point for point in hull if point.score >= TARGET_SCORE), None)
    if reached is not None:
        # Beyond it bits are spent unseen, whatever the size.
        chosen = {lines: point for lines, point in chosen.items() if point.bps <= reached.bps}
        chosen[reached.lines] = _at_target(reached, usable)
    smallest = min(caps)
    if smallest not in chosen:
        own = [point for point in usable if point.lines == smallest]
        chosen[smallest] = max(own, key=lambda p: p.bps) if own else Point(smallest, rungs[-1].crf, caps[smallest], 0)
    return _falling(sorted(chosen.values(), key=lambda point: -point.lines), caps, smallest)


def upper_hull(points: Sequence[Point]) -> list[Point]:
    """The points that no mixture of others beats, by rising rate (logarithmic) and rising score."""
    hull: list[Point] = []
    for point in sorted(points, key=lambda p: (p.bps, -p.score)):
        if hull and point.score <= hull[-1].score:
            continue
        while len(hull) >= 2 and _gain(hull[-2], point) >= _gain(hull[-2], hull[-1]):
            hull.pop()
        hull.append(point)
    return hull


def _gain(one: Point, other: Point) -> float:
    """Score won for each doubling of the rate."""
    doublings = log2(other.bps) - log2(one.bps)
    return (other.score - one.score) / doublings if doublings > 0 else float("inf")


def _at_target(reached: Point, points: Sequence[Point]) -> Point:
    """Between the point that reaches the target and the same size's next cheaper one: about where the target lies."""
    cheaper = [p for p in points if p.lines == reached.lines and p.bps < reached.bps and p.score < TARGET_SCORE]
    if not cheaper:
        return reached
    below = max(cheaper, key=lambda p: p.score)
    return _between(below, reached, (TARGET_SCORE - below.score) / (reached.score - below.score))


def _below(cap: int, points: Sequence[Point]) -> list[Point]:
    """One size's points up to `cap`, and where its curve meets the cap."""
    usable = [point for point in points if 0 < point.bps <= cap]
    beyond = [point for point in points if point.bps > cap]
    if usable and beyond:
        last, following = max(usable, key=lambda p: p.bps), min(beyond, key=lambda p: p.bps)
        share = (log2(cap) - log2(last.bps)) / (log2(following.bps) - log2(last.bps))
        usable.append(_between(last, following, share))
    return usable


def _between(one: Point, other: Point, share: float) -> Point:
    """A point of the curve from `one` to `other`: straight over the logarithm of the rate."""
    bps = min(other.bps, 2 ** (log2(one.bps) + share * (log2(other.bps) - log2(one.bps))))
    score = one.score + share * (other.score - one.score)
    return Point(one.lines, round(one.crf + share * (other.crf - one.crf)), bps, score)


def _falling(points: Sequence[Point], caps: dict[int, int], smallest: int) -> tuple[Tuned, ...]:
    """From the largest size down: a rung whose peak is not clearly below the one above is left out, the smallest is squeezed in."""
    kept: list[Tuned] = []
    for point in points:
        peak_bps = min(caps[point.lines], max(caps[point.lines] // _FLOOR, round(PEAK_FACTOR * point.bps)))
        if kept and peak_bps > _NEAREST_RATE * kept[-1].max_bps:
            if point.lines != smallest:
                continue
            peak_bps = int(_NEAREST_RATE * kept[-1].max_bps)
        kept.append(Tuned(point.lines, point.crf, max(1, peak_bps)))
    return tuple(kept)
