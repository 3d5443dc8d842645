"""How credit is shared: five models, each adding up to one conversion."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.advertising.attribution import Model, check_configuration, share_credit

NOW = datetime(2026, 11, 21, tzinfo=UTC)
MODELS = st.sampled_from(get_args(Model))
_AGES = st.lists(st.integers(0, 10**8), max_size=30).map(lambda ages: sorted(ages, reverse=True))


def touches(*ages_days: float) -> list[datetime]:
    return [NOW - timedelta(days=age) for age in ages_days]


@given(MODELS, _AGES, st.floats(0.001, 3650), st.floats(0.001, 0.5))
def test_shares_are_never_negative_and_make_one_conversion(
    model: Model, ages: list[int], half_life: float, ends: float
) -> None:
    settings = {"time_decay": {"half_life_days": half_life}, "position_based": {"ends_share": ends}}.get(model, {})
    assert check_configuration(model, settings) is None
    shares = share_credit(model, settings, [NOW - timedelta(seconds=age) for age in ages], NOW)
    assert len(shares) == len(ages)
    assert all(share >= 0 for share in shares)
    assert math.isclose(sum(shares), 1 if ages else 0, abs_tol=1e-9)


@given(_AGES.filter(bool))
def test_a_later_touch_never_counts_less_when_credit_decays(ages: list[int]) -> None:
    shares = share_credit("time_decay", {}, [NOW - timedelta(seconds=age) for age in ages], NOW)
    assert shares == sorted(shares)


@pytest.mark.parametrize(
    ("model", "settings", "shares"),
    [
        ("first_touch", {}, [1, 0, 0]),
        ("last_touch", {}, [0, 0, 1]),
        ("linear", {}, [1 / 3, 1 / 3, 1 / 3]),
        ("time_decay", {}, [1 / 7, 2 / 7, 4 / 7]),
        ("time_decay", {"half_life_days": 14}, [0.227, 0.320, 0.453]),
        ("position_based", {}, [0.4, 0.2, 0.4]),
        ("position_based", {"ends_share": 0.25}, [0.25, 0.5, 0.25]),
    ],
)
def test_each_model_shares_in_its_own_way(model: Model, settings: dict[str, Any], shares: list[float]) -> None:
    assert share_credit(model, settings, touches(21, 14, 7), NOW) == pytest.approx(shares, abs=0.001)


@pytest.mark.parametrize("model", get_args(Model))
def test_a_single_touch_gets_it_all(model: Model) -> None:
    assert share_credit(model, {}, touches(3), NOW) == [1.0]


def test_two_touches_share_evenly_by_position() -> None:
    assert share_credit("position_based", {"ends_share": 0.1}, touches(9, 1), NOW) == [0.5, 0.5]


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("linear", {"half_life_days": 7}),
        ("time_decay", {"half_life_days": 0}),
        ("time_decay", {"half_life_days": True}),
        ("time_decay", {"half_life_days": "7"}),
        ("time_decay", {"half_life_days": float("nan")}),
        ("position_based", {"ends_share": 0.6}),
        ("linear", []),
        ("linear", None),
    ],
)
def test_settings_that_make_no_sense_are_refused(model: Model, settings: object) -> None:
    refusal = check_configuration(model, settings)
    assert refusal is not None
    assert refusal.faults[0].path.startswith("configuration")
