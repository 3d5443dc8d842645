"""How the credit for a conversion is shared among the touches before it. Pure: knows no table and no clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from core.errors import Refusal, bad_field

Model = Literal["first_touch", "last_touch", "linear", "time_decay", "position_based"]
HALF_LIFE_DAYS = 7.0
ENDS_SHARE = 0.4
"""Of a position-based model: what the first and the last touch get each; those between share the rest."""
_DAY_S = 86_400.0


def check_configuration(model: Model, configuration: object) -> Refusal | None:
    """What a model is set to: `half_life_days` of time_decay, `ends_share` (0 to 0.5) of position_based, nothing of the others."""
    if not isinstance(configuration, dict):
        return bad_field("configuration", "must be an object")
    known = {"time_decay": {"half_life_days"}, "position_based": {"ends_share"}}.get(model, set())
    if unknown := sorted(str(name) for name in configuration.keys() - known):
        return bad_field(f"configuration.{unknown[0]}", f"is not a setting of {model}")
    for name, most in (("half_life_days", 3650.0), ("ends_share", 0.5)):
        value = configuration.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
            return bad_field(f"configuration.{name}", f"must be more than 0 and at most {most:g}")
    return None


def share_credit(model: Model, configuration: dict[str, Any], touches: Sequence[datetime], at: datetime) -> list[float]:
    """What each of the touches, in order of time, gets of one conversion `at`; together 1, or nothing where there is no touch."""
    count = len(touches)
    if count == 0:
        return []
    match model:
        case "first_touch":
            weights = [1.0] + [0.0] * (count - 1)
        case "last_touch":
            weights = [0.0] * (count - 1) + [1.0]
        case "linear":
            weights = [1.0] * count
        case "time_decay":
            half_life_s = float(configuration.get("half_life_days", HALF_LIFE_DAYS)) * _DAY_S
            # Counted from the last touch: long ago, all weights would round to nothing.
            ages_s = [max(0.0, (at - touch).total_seconds()) for touch in touches]
            youngest_s = min(ages_s)
            weights = [0.5 ** min(1000.0, (age_s - youngest_s) / half_life_s) for age_s in ages_s]
        case "position_based":
            ends = float(configuration.get("ends_share", ENDS_SHARE))
            weights = [ends] + [(1 - 2 * ends) / (count - 2)] * (count - 2) + [ends] if count > 2 else [1.0] * count
    total = sum(weights)
    return [weight / total for weight in weights]


def add_up(shares: Sequence[Sequence[float]], episodes: Sequence[Sequence[UUID | None]]) -> dict[str, float]:
    """What each episode gets of several conversions, by its id (`none`: of a touch outside any episode), the most first."""
    sums: dict[str, float] = {}
    for of_conversion, of_touches in zip(shares, episodes, strict=True):
        for share, episode in zip(of_conversion, of_touches, strict=True):
            sums[str(episode or "none")] = sums.get(str(episode or "none"), 0.0) + share
    # As many digits as a share of a long path needs; more would only show how floats round.
    return {episode: round(total, 6) for episode, total in sorted(sums.items(), key=lambda item: (-item[1], item[0]))}
