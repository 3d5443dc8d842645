"""Amounts, currencies and periods of prices, decided without a database."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.pricing import check_amount, check_period, digits_of, round_amount
from core.errors import PRICE_OVERLAPS

DAY = date(2026, 1, 1)


@pytest.mark.parametrize(
    ("price", "currency", "field"),
    [
        ("9.99", "EUR", None),
        ("0", "EUR", None),
        ("9.990", "EUR", None),
        ("9.999", "EUR", "price"),
        ("100", "JPY", None),
        ("100.5", "JPY", "price"),
        ("1.234", "KWD", None),
        ("1.2345", "KWD", "price"),
        ("-0.01", "EUR", "price"),
        ("NaN", "EUR", "price"),
        ("Infinity", "EUR", "price"),
        ("1e12", "EUR", "price"),
        ("1e-999", "EUR", "price"),
        ("1", "eur", "currency"),
        ("1", "EURO", "currency"),
        ("1", "\u212aRW", "currency"),
    ],
)
def test_an_amount_can_be_paid_in_its_currency(price: str, currency: str, field: str | None) -> None:
    refusal = check_amount(Decimal(price), currency)
    assert (refusal.faults[0].path if refusal else None) == field


@pytest.mark.rule("edupeak-103")
@given(st.decimals(0, 10**9, places=4), st.sampled_from(["EUR", "JPY", "KWD", "USD"]))
def test_what_is_sold_costs_whole_cents(amount: Decimal, currency: str) -> None:
    rounded = round_amount(amount, currency)
    cents = rounded.scaleb(digits_of(currency))
    assert cents == cents.to_integral_value()
    assert abs(rounded - amount) * 2 <= Decimal(1).scaleb(-digits_of(currency))
    assert round_amount(rounded, currency) == rounded
    assert check_amount(rounded, currency) is None


@pytest.mark.parametrize(
    ("amount", "rounded"), [("1.005", "1.01"), ("1.0049", "1.00"), ("2.675", "2.68"), ("0", "0.00")]
)
def test_half_a_cent_goes_up(amount: str, rounded: str) -> None:
    assert str(round_amount(Decimal(amount), "EUR")) == rounded


_DAYS = st.integers(0, 30).map(lambda n: DAY + timedelta(n))
_PERIODS = st.tuples(_DAYS, st.none() | _DAYS).filter(lambda p: p[1] is None or p[0] < p[1])


@given(st.lists(_PERIODS, max_size=12))
def test_prices_taken_one_by_one_leave_one_price_a_day(asked: list[tuple[date, date | None]]) -> None:
    held: list[tuple[date, date | None]] = []
    for start, end in asked:
        if check_period(start, end, held) is None:
            held = [(s, start if e is None and s < start else e) for s, e in held]
            held.append((start, end))
    for n in range(40):
        day = DAY + timedelta(n)
        assert sum(s <= day and (e is None or day < e) for s, e in held) <= 1


@pytest.mark.rule("streaming-037")
@pytest.mark.rule("streaming-038")
def test_a_period_ends_after_its_start() -> None:
    for end in (DAY, DAY - timedelta(1)):
        refusal = check_period(DAY, end, [])
        assert refusal is not None
        assert refusal.faults[0].path == "effective_to"
    assert check_period(DAY, DAY + timedelta(1), []) is None
    assert check_period(DAY, None, []) is None


def test_a_period_that_another_price_holds_is_refused() -> None:
    held = [(DAY, DAY + timedelta(10)), (DAY + timedelta(20), None)]
    for start, end in ((5, 7), (0, 1), (9, 25), (10, None), (20, None)):
        refusal = check_period(DAY + timedelta(start), None if end is None else DAY + timedelta(end), held)
        assert refusal is not None, (start, end)
        assert refusal.code is PRICE_OVERLAPS
    for start, end in ((10, 20), (25, None), (25, 30)):
        assert check_period(DAY + timedelta(start), None if end is None else DAY + timedelta(end), held) is None
