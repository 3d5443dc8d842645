"""What this installation is to a command: the keys that seal its secrets, and where its webhooks may go."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.errors import NOTHING_SEALS, Refusal
from core.guard import Guard
from core.sealing import Sealer
from core.settings import Settings


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


def house_of(settings: Settings) -> House:
    """The house that `settings` describe."""
    sealer = Sealer(settings.sealing_keys) if settings.sealing_keys else None
    return House(sealer, Guard(settings.webhook_networks, settings.webhook_http))
