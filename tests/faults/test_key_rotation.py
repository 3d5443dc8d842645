"""Keys are rotated under the real web processes: no valid token is refused before its key is retired."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from edge.local.ring import RingFile
from tests.faults.conftest import Box
from tests.faults.ward import Ward, fetch, running_ward
from tests.running import run_penstock
from tests.waiting import until
from tests.web import Person

pytestmark = [pytest.mark.xdist_group("faults"), pytest.mark.timeout(1200)]


async def renew(ward: Ward) -> None:
    """A rolling restart with the ring as it is on disk, over when the old processes have left."""
    ward.installation.read_keys_again()
    assert await ward.supervisor.roll() == 2
    for process in list(ward.supervisor.leaving):
        await asyncio.to_thread(process.wait, 40)
    ward.supervisor.leaving.clear()


async def watch_all(
    person: Person, grants: list[dict[str, Any]], refused: list[tuple[str, int]], stop: asyncio.Event
) -> None:
    """Plays every grant there is, again and again, on new connections, and begins new ones."""
    while not stop.is_set():
        grants.append(await person.play(str(grants[0]["content_id"])))
        for grant in grants[-6:] + grants[:1]:
            answer = await fetch(person, grant, "master.m3u8")
            if answer.status != 200:
                refused.append((grant["token"][:2], answer.status))
        # Often enough to meet every process at every moment of a renewal; as often as can be, it was most of what the machine did.
        await asyncio.sleep(0.1)


@pytest.fixture
def ward() -> Iterator[Ward]:
    """An installation of the test's own: its first key will be gone."""
    with running_ward() as running:
        yield running


async def test_a_rotation_refuses_no_valid_token_before_the_key_is_retired(ward: Ward) -> None:
    data = ward.installation.settings.data
    refused: list[tuple[str, int]] = []
    stop = asyncio.Event()
    async with ward.newcomer() as person:
        grants = [await person.play(str(ward.content_id))]
        watching = asyncio.create_task(watch_all(person, grants, refused, stop))
        ring = RingFile(data)
        assert ring.add(None, time.time()) == "k2"
        await renew(ward)
        assert grants[-1]["token"].startswith("k1.")
        ring.sign("k2", time.time())
        await renew(ward)
        await until(lambda: grants[-1]["token"].startswith("k2."), 180, "a token by the new key")
        played = len(grants)
        await until(lambda: len(grants) > played + 3, 180, "more of them")
        stop.set()
        await watching
        assert refused == []
        RingFile(data).retire("k1", time.time(), at_once=True)
        await renew(ward)
        assert (await fetch(person, grants[0], "master.m3u8")).status == 401
        assert (await fetch(person, grants[-1], "master.m3u8")).status == 200


async def test_the_commands_rotate_a_running_installation(box: Box) -> None:
    await box.ready()
    assert box.penstock.process is not None

    def keys(*arguments: str) -> str:
        done = run_penstock("keys", *arguments, "--data", box.data)
        assert done.returncode == 0, done.stderr
        return done.stdout

    added = re.search(r"Added (\w+)", keys("add"))
    assert added is not None
    too_soon = run_penstock("keys", "sign", added.group(1), "--data", box.data)
    assert too_soon.returncode == 2
    assert "do not know yet" in too_soon.stderr
    for command in ((), ("sign", added.group(1))):
        keys(*command)
        renewed = box.penstock.stderr.count("Renewed")
        box.penstock.process.send_signal(signal.SIGHUP)
        await until(lambda renewed=renewed: box.penstock.stderr.count("Renewed") > renewed, 180, "the renewal")
    shown = keys()
    assert re.search(rf"{added.group(1)} .*signs", shown)
    assert re.search(r"k1 .*may retire in 24 h", shown)
    async with box.newcomer() as person:
        grant = await person.play(box.content_id)
        assert grant["token"].startswith(f"{added.group(1)}.")


def test_a_ring_named_by_the_environment_is_not_changed_behind_its_back(box: Box) -> None:
    ring = {"PENSTOCK_SECRET_KEYS": "a:" + "1" * 40 + ",b:" + "2" * 40}
    before = (box.data / "secrets.json").read_bytes()
    done = run_penstock("keys", "add", "--data", box.data, env=ring)
    assert done.returncode == 2
    assert "PENSTOCK_SECRET_KEYS" in done.stderr
    shown = run_penstock("keys", "--data", box.data, env=ring)
    assert re.search(r"b .*signs", shown.stdout)
    assert "1" * 40 not in shown.stdout + done.stderr
    assert (box.data / "secrets.json").read_bytes() == before
