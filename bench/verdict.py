"""What a figure is: rounds as measured, one value, a target, and whether the value meets it. No measuring here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Literal

Round = Mapping[str, float]
"""What one round measured, by peer or by what was counted; a ratio under `ratio`."""


@dataclass(frozen=True, slots=True)
class Target:
    """`least`: the value must not be below; `most`: not above; `exactly`: neither."""

    bound: Literal["least", "most", "exactly"]
    value: float
    unit: str
    """Of target and value: x for a ratio, KiB, ms, reads."""

    def holds(self, value: float) -> bool:
        """Whether `value` meets it. What is not a number does not."""
        match self.bound:
            case "least":
                return value >= self.value
            case "most":
                return value <= self.value
            case "exactly":
                return value == self.value

    def __str__(self) -> str:
        sign = {"least": "≥", "most": "≤", "exactly": "="}[self.bound]
        return f"{sign} {shown(self.value, self.unit)}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report. `unit` is that of the rounds; `notes` says what else was seen, in words."""

    name: str
    what: str
    unit: str
    rounds: Sequence[Round]
    value: float
    target: Target
    notes: tuple[str, ...] = field(default=())

    @property
    def holds(self) -> bool:
        """Whether the target is met."""
        return self.target.holds(self.value)

    def medians(self) -> dict[str, float]:
        """The median of everything the rounds have."""
        return {key: median(found[key] for found in self.rounds if key in found) for key in self.rounds[0]}

    def record(self) -> dict[str, object]:
        """As it is stored."""
        return {**asdict(self), "medians": self.medians(), "holds": self.holds}


def with_ratio(measured: Round, *, over: str = "nginx", of: str = "edge") -> dict[str, float]:
    """`measured` and how `of` compares with `over` in this very round."""
    return {**measured, "ratio": measured[of] / measured[over]}


def median_ratio(rounds: Sequence[Round]) -> float:
    """The median over rounds: one disturbed round does not move it."""
    return median(found["ratio"] for found in rounds)


def shown(value: float, unit: str) -> str:
    """A number for people: three significant digits, thousands apart."""
    text = f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"
    return f"{text}{unit}" if unit == "x" else f"{text} {unit}".strip()


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of an ascending sequence lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")
