"""How often a picture changes, told from its time stamps where a header's average would mislead. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

# Of so many pictures in a row, a quarter tells what moves: a screen stands still for most of its time, not for most of its pictures.
_QUICKEST_SHARE = 4
_FEWEST = 8
# Three quarters of the pictures come within this of one another: an even pace, whatever a header or a joint made of the average.
_EVEN_WITHIN = Fraction(11, 10)
# A camera's clock trembles by less, and so do 24 pictures a second in three and two fields of television.
_VARIES_BY = Fraction(4, 3)


def decide_pace(
    average: Fraction | None, stamps: Sequence[Sequence[Fraction]], *, is_interlaced: bool = False
) -> Fraction | None:
    """Pictures per second: the `average`, or what a quarter of the pictures keep to where that is well above it.

    An average above an even pace is a mistake too: a joint in a recording, or a header that states its clock.

    A recording whose pictures come only when something moves would lose most of those that do come at its average. Where
    `is_interlaced`, fields may come one by one, so that nothing is above the average.
    `stamps`: when pictures are shown, in seconds, of stretches of the film, in any order. None where nothing tells.
    """
    gaps = sorted(gap for stretch in stamps for gap in _gaps(stretch))
    if len(gaps) < _FEWEST:
        return average
    short, long = gaps[len(gaps) // _QUICKEST_SHARE], gaps[-1 - len(gaps) // (2 * _QUICKEST_SHARE)]
    quick = 1 / short
    if average is None:
        return quick
    if long <= short * _EVEN_WITHIN and average >= _VARIES_BY / long:
        return quick
    return quick if quick >= average * _VARIES_BY and not is_interlaced else average


def _gaps(stretch: Sequence[Fraction]) -> list[Fraction]:
    shown = sorted(set(stretch))
    return [later - earlier for earlier, later in pairwise(shown)]
