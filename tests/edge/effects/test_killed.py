"""kill -9 of deliverers in the middle of their work, with accounts kept: nothing is lost, and first arrivals keep their order."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from core.database import Database
from core.ids import uuid7
from core.settings import ROOT
from core.viewer import service
from tests.conftest import TestDatabase
from tests.edge.effects.conftest import SEALER, ask, effect
from tests.edge.effects.receivers import Receiver, receiver
from tests.running import environment
from tests.waiting import until

PATIENCE_S = 240
SUBJECTS, EACH, KILLS = 10, 12, 3
ANSWERED = 15
KEYS = f"s1:{'s' * 48}"

pytestmark = [pytest.mark.timeout(600)]


def launch(database_urls: TestDatabase, folder: Path, careless: bool) -> subprocess.Popen[bytes]:
    what = "tests.edge.effects.careless" if careless else "edge"
    env = environment(
        {
            "PENSTOCK_DATA": str(folder),
            "PENSTOCK_DATABASE_URL": database_urls.app_url,
            "PENSTOCK_SEALING_KEYS": KEYS,
            "PENSTOCK_WEBHOOK_HTTP": "on",
            "PENSTOCK_WEBHOOK_NETWORKS": "127.0.0.0/8",
        }
    )
    with (folder / "deliverer.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", what, *([] if careless else ["deliver"])],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            cwd=ROOT,
        )


async def webhook(database: Database, url: str) -> None:
    id_ = uuid7()
    secret = SEALER.seal("whsec_" + "QUJD" * 10, bound_to=f"webhooks.secret:{id_}")
    await ask(
        database,
        "INSERT INTO webhooks (id, url, event_types, secret) VALUES ($1, $2, '{content.published}', $3)",
        id_,
        url,
        secret,
        viewer=service(),
    )


async def open_rows(database: Database) -> int:
    (row,) = await ask(
        database,
        """SELECT (SELECT count(*) FROM outbox WHERE delivered_at IS NULL)
                + (SELECT count(*) FROM webhook_deliveries WHERE delivered_at IS NULL)""",
    )
    return int(row[0])


async def let_leases_lapse(database: Database) -> None:
    """A minute later, as far as the queues know."""
    for table in ("outbox", "webhook_deliveries"):
        await ask(
            database,
            f"UPDATE {table} SET lease_until = now(), next_attempt_at = now() WHERE lease_until > now() AND delivered_at IS NULL",
        )


async def campaign(
    database: Database, database_urls: TestDatabase, folder: Path, got: Receiver, *, careless: bool
) -> dict[str, list[int]]:
    """Who got what, by subject, in order of arrival."""
    await webhook(database, got.url)
    for n in range(EACH):
        for subject in range(SUBJECTS):
            await effect(database, "content.published", f"content:{subject}", {"subject": str(subject), "n": n})
    for _ in range(1 if careless else KILLS):
        victim = launch(database_urls, folder, careless)
        try:
            if careless:
                # It has written down more than it has sent.
                async def ahead() -> bool:
                    (row,) = await ask(
                        database, "SELECT count(*) FROM webhook_deliveries WHERE delivered_at IS NOT NULL"
                    )
                    return int(row[0]) > len(got.got)

                await until(ahead, PATIENCE_S, "the careless one to be ahead of itself")
            else:
                # Some are answered; then, with requests under way that nobody answers, it dies.
                got.held, got.answers_left = asyncio.Event(), ANSWERED
                await until(lambda: got.answers_left < 0, PATIENCE_S, "a delivery to be under way")
        finally:
            victim.kill()
            victim.wait(PATIENCE_S)
        if got.held is not None:
            got.held.set()
        await let_leases_lapse(database)
    last = launch(database_urls, folder, careless)
    try:

        async def all_ended() -> bool:
            return await open_rows(database) == 0

        await until(all_ended, PATIENCE_S, "all to be delivered")
    finally:
        last.terminate()
        last.wait(PATIENCE_S)
    arrived: dict[str, list[int]] = defaultdict(list)
    for sent in got.got:
        arrived[sent.event["data"]["subject"]].append(sent.event["data"]["n"])
    return arrived


def lost(arrived: dict[str, list[int]]) -> int:
    return sum(len(set(range(EACH)) - set(arrived[str(subject)])) for subject in range(SUBJECTS))


async def test_deliverers_that_are_killed_lose_nothing(
    database: Database, database_urls: TestDatabase, tmp_path: Path
) -> None:
    async with receiver() as got:
        arrived = await campaign(database, database_urls, tmp_path, got, careless=False)
    assert lost(arrived) == 0
    for subject, numbers in arrived.items():
        firsts = list(dict.fromkeys(numbers))
        assert firsts == list(range(EACH)), subject


async def test_the_accounts_find_out_one_that_writes_down_before_it_sends(
    database: Database, database_urls: TestDatabase, tmp_path: Path
) -> None:
    async with receiver() as got:
        arrived = await campaign(database, database_urls, tmp_path, got, careless=True)
    assert lost(arrived) > 0
