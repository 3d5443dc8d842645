"""Makes a picture in every size of a ladder, a small one from a larger one that is there already. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from transcoder.ladder import Rung

# From less than this a picture would be scaled almost to its own size, which blurs it. And a picture that has been scaled
# down twice is scaled no further: after a third time VMAF at 240 lines was 0.8 lower than straight from the source.
_LEAST_STEP = Fraction(3, 2)
_MOST_STEPS = 2


def decide_origins(lines: Sequence[int]) -> list[int]:
    """For each size after the first, which one before it (by its number) it is made of; `lines` from the largest downwards.

    What a scaler costs is what it reads: five sizes of a 1080p film, each from the film itself, are a tenth of its ladder.
    """
    steps, origins = [0], list[int]()
    for number, own in enumerate(lines[1:], 1):
        fit = [one for one in range(number) if lines[one] >= own * _LEAST_STEP and steps[one] < _MOST_STEPS]
        origins.append(fit[-1] if fit else 0)
        steps.append(steps[origins[-1]] + 1)
    return origins


def scaled(picture: Any, rungs: Sequence[Rung], pixel_format: str) -> dict[Rung, Any]:
    """The picture for the encoder of each rung, the largest first; encoders of one size share it."""
    sizes = list(dict.fromkeys((rung.width, rung.height) for rung in rungs))
    origins = decide_origins([min(size) for size in sizes])
    made: list[Iterator[Any]] = []
    found: dict[Rung, Any] = {}
    for number, size in enumerate(sizes):
        origin = next(made[origins[number - 1]]) if number else picture
        one = origin.filter("scale", *size).filter("setsar", 1).filter("format", pixel_format)
        encoded = [rung for rung in rungs if (rung.width, rung.height) == size]
        ways = _ways(one, len(encoded) + origins.count(number))
        found |= {rung: next(ways) for rung in encoded}
        made.append(ways)
    return found


def _ways(picture: Any, count: int) -> Iterator[Any]:
    if count == 1:
        return iter([picture])
    split = picture.filter_multi_output("split", count)
    return iter([split[number] for number in range(count)])
