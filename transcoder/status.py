"""How far an attempt is, and at what: changed by whoever works, read by whoever renews the lease."""

from __future__ import annotations

import time
from dataclasses import dataclass

from core.domain.media_results import Planned
from transcoder.progress import Progress


@dataclass(slots=True)
class Status:
    """A stage's name, percent of the task, seconds left where that is no guess, and what is being made once that is decided."""

    stage: str = "probing"
    percent: float = 0.0
    eta_s: int | None = None
    scratch_bytes: int | None = None
    """The scratch space that the plan may take at most, once there is a plan."""
    ladder: tuple[Planned, ...] = ()
    ticked_at: float | None = None
    """When whoever keeps the lease last had a turn, on the monotonic clock; None where nobody does."""

    def stood_still_s(self) -> float:
        """How long the keeper of the lease has had no turn: many seconds only when the whole process was stopped."""
        return 0.0 if self.ticked_at is None else time.monotonic() - self.ticked_at

    def encoded(self, progress: Progress) -> None:
        """The encoder moved."""
        self.percent = max(self.percent, progress.percent)
        self.eta_s = progress.eta_s(time.monotonic())

    def enter(self, stage: str, share: float) -> None:
        """A new stage begins with `share` of the whole task done."""
        self.stage, self.percent = stage, max(self.percent, 100 * share)
