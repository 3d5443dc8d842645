"""What this installation is to a command: the keys that seal its secrets, and where its webhooks may go."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.domain.sealing import Sealer
from core.domain.webhook_guard import Guard
from core.errors import NOTHING_SEALS, Refusal


@dataclass(frozen=True, slots=True)
class House:
    """The same for every tenant, from the settings."""

    keeper: Sealer | None = None
    guard: Guard = field(default_factory=Guard)

    @property
    def sealer(self) -> Sealer:
        """What seals secrets at rest. Raises Refusal NOTHING_SEALS where no sealing key is set."""
        if self.keeper is None:
            raise Refusal(NOTHING_SEALS)
        return self.keeper
