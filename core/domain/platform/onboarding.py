"""Onboarding: the steps that bring somebody in, the same for every tenant, and how far each person has come."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

import msgspec

from core.database import Row, Tx
from core.domain.context import PEOPLE, Asked, Command, Handler, Table
from core.errors import NOT_FOUND, STEP_REQUIRED, Refusal
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain.platform", "onboarding.sql")


# TABLES
TABLES = (Table("onboarding_steps"), Table("onboarding_progress"))

# RULES


def check_skip(step: Row) -> Refusal | None:
    """Only a step that is not required may be left out."""
    return Refusal(STEP_REQUIRED) if step["required"] else None


# COMMANDS


class MyOnboarding(Asked, frozen=True):
    """The steps in their order, and what you have done about each."""


class CompleteOnboardingStep(Asked, frozen=True):
    """Marks a step as done, also one that was skipped."""

    step_key: str


class SkipOnboardingStep(Asked, frozen=True):
    """Leaves a step out that is not required."""

    step_key: str


class Step(msgspec.Struct, frozen=True):
    """One step. Open while both moments are null."""

    step_key: str
    step_name: str
    description: str | None
    required: bool
    completed_at: datetime | None
    skipped_at: datetime | None


class Onboarding(msgspec.Struct, frozen=True):
    """All steps; `is_finished` when no required one is open."""

    steps: list[Step]
    is_finished: bool


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "my_onboarding": Command(MyOnboarding, Onboarding, PEOPLE, is_read=True),
        "complete_onboarding_step": Command(CompleteOnboardingStep, Onboarding, PEOPLE),
        "skip_onboarding_step": Command(SkipOnboardingStep, Onboarding, PEOPLE),
    }
)

# HANDLERS


async def do_my_onboarding(tx: Tx, _: Viewer, asked: MyOnboarding, now: datetime) -> Onboarding:
    """Always answers."""
    return await _mine(tx)


async def do_complete(tx: Tx, _: Viewer, asked: CompleteOnboardingStep, now: datetime) -> Onboarding:
    """Raises Refusal NOT_FOUND."""
    step = await _step(tx, asked.step_key)
    await tx.run(SQL["step_complete"], step["id"], now)
    return await _mine(tx)


async def do_skip(tx: Tx, _: Viewer, asked: SkipOnboardingStep, now: datetime) -> Onboarding:
    """Raises Refusal NOT_FOUND, STEP_REQUIRED."""
    step = await _step(tx, asked.step_key)
    if refusal := check_skip(step):
        raise refusal
    await tx.run(SQL["step_skip"], step["id"], now)
    return await _mine(tx)


async def _step(tx: Tx, key: str) -> Row:
    row = await tx.one(SQL["step_find"], key)
    if row is None:
        raise Refusal(NOT_FOUND, "There is no such step.")
    return row


async def _mine(tx: Tx) -> Onboarding:
    steps = [Step(**dict(row)) for row in await tx.many(SQL["steps_many"])]
    return Onboarding(steps, all(step.completed_at is not None for step in steps if step.required))


HANDLERS: Mapping[type[msgspec.Struct], Handler] = MappingProxyType(
    {MyOnboarding: do_my_onboarding, CompleteOnboardingStep: do_complete, SkipOnboardingStep: do_skip}
)
