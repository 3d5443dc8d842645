"""A worker's database: waited for while it is away or without its schema, given up where no waiting mends it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import chain, repeat
from typing import NamedTuple

import structlog

from core.database import DatabaseDown
from core.domain.logins import DIRECT, check_login, holds_tables, mend_of, place_of, told_refused
from core.domain.media_settings import WorkerSettings

log = structlog.get_logger(__name__)
BACK_OFF_S = (0.5, 1.0, 2.0, 4.0)
_TABLES = ("transcode_tasks", "pgqueuer")


class Lack(NamedTuple):
    """What has to come before work can begin, as it is logged."""

    waits_for: str
    why: str
    hint: str


async def wait_for_database(settings: WorkerSettings, variable: str, pause: Callable[[float], Awaitable[bool]]) -> bool:
    """True once work can begin; False when `pause(seconds)` said that the worker is to end.

    What it waits for is logged once, and again when it has changed: a supervisor expects patience, an operator a reason.
    Raises SettingsError for a login, a database or a way to it that stays wrong however long it is tried; `variable` names it.
    """
    told: Lack | None = None
    for seconds in chain(BACK_OFF_S, repeat(BACK_OFF_S[-1])):
        lack = await _lack(settings, variable)
        if lack is None:
            if told is not None:
                log.info("database_there", database=told.waits_for)
            return True
        if lack != told:
            log.warning("waiting_for_database", **lack._asdict(), tries_again_within_s=BACK_OFF_S[-1])
            told = lack
        if await pause(seconds):
            return False
    raise AssertionError("never ends")


async def _lack(settings: WorkerSettings, variable: str) -> Lack | None:
    """What has to come before work can begin; None when all is there."""
    url, heard_at = settings.database_url, settings.listen_database_url
    assert url is not None
    assert heard_at is not None
    asked, named = url, variable
    try:
        is_founded = await holds_tables(url, _TABLES)
        if heard_at != url:
            asked, named = heard_at, DIRECT
        await check_login(url, settings.direct_database_url, variable)
    except DatabaseDown as error:
        if mend_of(error):
            raise told_refused(error, named, asked) from error
        return Lack(place_of(asked), str(error), f"Start PostgreSQL, or correct {named}.")
    if is_founded:
        return None
    return Lack(place_of(url), "it has no schema yet", "Run `./penstock up` or `./penstock migrate` on it.")
