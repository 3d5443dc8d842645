"""When a failed delivery is tried again, and when it is given up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.effects.line import Again, Dead, Done, Schedule, settle
from edge.effects.outbox import SCHEDULE as EFFECTS
from edge.effects.webhook_line import SCHEDULE as WEBHOOKS

schedules = st.builds(
    Schedule,
    first_s=st.floats(0.1, 60),
    factor=st.floats(1, 10),
    cap_s=st.floats(60, 1e6),
    tries=st.integers(1, 2_000),
)
shares = st.floats(0, 1)


@given(schedules, st.integers(1, 3_000), shares)
def test_a_delay_is_bounded_and_ends_with_the_tries(schedule: Schedule, attempts: int, share: float) -> None:
    delay_s = schedule.delay_s(attempts, share)
    assert (delay_s is None) == (attempts >= schedule.tries)
    if delay_s is not None:
        assert min(schedule.first_s, schedule.cap_s) / 2 <= delay_s <= schedule.cap_s


@given(schedules, st.integers(1, 1_998))
def test_delays_never_shrink(schedule: Schedule, attempts: int) -> None:
    first, second = schedule.delay_s(attempts, 1), schedule.delay_s(attempts + 1, 1)
    if first is not None and second is not None:
        assert second >= first


def test_jitter_moves_a_delay_by_half_of_it() -> None:
    schedule = Schedule(first_s=8, factor=2, cap_s=100, tries=5)
    assert (schedule.delay_s(1, 0), schedule.delay_s(1, 1)) == (4, 8)
    assert (schedule.delay_s(3, 0), schedule.delay_s(3, 1)) == (16, 32)


def test_what_is_done_or_dead_is_not_tried_again() -> None:
    assert settle(Done("sent"), 1, EFFECTS, 0.5) == Done("sent")
    assert settle(Dead("no"), 1, EFFECTS, 0.5) == Dead("no")


def test_the_last_failure_is_the_end_and_says_why() -> None:
    assert settle(Again("no answer"), EFFECTS.tries, EFFECTS, 0.5) == Dead(
        f"given up after {EFFECTS.tries} tries: no answer"
    )


def test_a_receiver_that_asks_for_time_is_given_it_up_to_the_cap() -> None:
    for asked_s, waits_s in ((100.0, 100.0), (1.0, 5.0), (1e9, WEBHOOKS.cap_s), (None, 5.0)):
        settled = settle(Again("busy", asked_s), 1, WEBHOOKS, 1.0)
        assert isinstance(settled, tuple)
        assert settled[1] == waits_s


def test_webhooks_are_tried_for_more_than_a_day() -> None:
    total_s = sum(WEBHOOKS.delay_s(attempts, 0) or 0 for attempts in range(1, WEBHOOKS.tries))
    assert total_s > 20 * 3600
