"""The power fails: an ext4 image on a loop device, copied as it lies on the disk, without a sync, is all that is left.

Valkey stands still while the image is copied, so nothing commits the file system's journal meanwhile (`commit=300`): what had
reached the disk by an fsync is in the copy, and what was only in the page cache is not.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest

from core.ids import DEFAULT_TENANT, uuid7
from edge.local.valkey import EmbeddedValkey
from edge.progress.beat import Beat
from edge.progress.partitions import stream_key
from edge.progress.stream import IntakeStream, unpack_beats
from edge.redis_client import Breaker, connect
from tests.waiting import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

IMAGE_MB = 256
CUTS = 20
SENDERS = 8
TOOLS = ("mkfs.ext4", "losetup", "mount", "umount")


def run(*argv: str | Path) -> str:
    done = subprocess.run([str(part) for part in argv], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, (argv, done.stderr)
    return done.stdout.strip()


@contextmanager
def mounted(image: Path, at: Path) -> Iterator[Path]:
    """The image as a file system; writes reach the image's file as they would reach a disk."""
    at.mkdir(exist_ok=True)
    device = run("losetup", "--find", "--show", "--direct-io=on", image)
    try:
        run("mount", "-t", "ext4", "-o", "commit=300", device, at)
        try:
            yield at
        finally:
            run("umount", at)
    finally:
        run("losetup", "--detach", device)


def why_not(folder: Path) -> str | None:
    """Why this machine cannot cut its own power, if so."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    if os.geteuid() != 0:
        return "only root may mount a loop device"
    if missing := [tool for tool in TOOLS if shutil.which(tool, path=path) is None]:
        return f"{', '.join(missing)} not found"
    try:
        image = new_image(folder / "probe.img", megabytes=16)
        with mounted(image, folder / "probe"):
            return None
    except AssertionError as error:
        return f"this kernel or container has no loop devices: {error}"
    finally:
        (folder / "probe.img").unlink(missing_ok=True)


def new_image(path: Path, *, megabytes: int) -> Path:
    with path.open("wb") as file:
        file.truncate(megabytes * 1024 * 1024)
    run("mkfs.ext4", "-q", "-F", path)
    return path


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="psp-", dir="/tmp"))
    why = why_not(made)
    if why is not None:
        shutil.rmtree(made, ignore_errors=True)
        pytest.skip(why)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@dataclass
class Journal:
    """What was acknowledged."""

    acknowledged: set[UUID] = field(default_factory=set)


def a_beat() -> Beat:
    session = uuid7()
    return Beat(
        uuid7(), session, DEFAULT_TENANT, uuid7(), uuid7(), None, 1000, 60_000, 1000, "beat", 1, session.int >> 80, None,
        session.int >> 80, False,
    )  # fmt: skip


async def keep_adding(intake: IntakeStream, journal: Journal, stop: asyncio.Event) -> None:
    while not stop.is_set():
        beats = [a_beat() for _ in range(random.randint(1, 20))]
        await intake.add(beats)
        journal.acknowledged.update(beat.event_id for beat in beats)
        await asyncio.sleep(0)


async def cut(folder: Path, number: int, append_fsync: str) -> tuple[int, int]:
    """Beats until the power fails; how many were acknowledged, and how many of these are gone."""
    image, after = folder / f"{number}.img", folder / f"{number}.after.img"
    new_image(image, megabytes=IMAGE_MB)
    journal, stop = Journal(), asyncio.Event()
    with mounted(image, folder / "before") as disk:
        server = EmbeddedValkey(disk / "valkey", folder / "v.sock", folder / "valkey.log", append_fsync=append_fsync)
        server.start()
        run("sync", "-f", disk)  # the power does not fail before the installation is there
        client = connect(server.url)
        intake = IntakeStream(client, Breaker(), partitions=2)
        senders = [asyncio.create_task(keep_adding(intake, journal, stop)) for _ in range(SENDERS)]
        goal = random.randint(200, 3000)
        await until(lambda: len(journal.acknowledged) >= goal, 120, f"{goal} beats")
        assert server.process is not None
        server.process.send_signal(signal.SIGSTOP)
        acknowledged = set(journal.acknowledged)
        await asyncio.to_thread(run, "cp", "--sparse=always", image, after)
        stop.set()
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
        server.process.send_signal(signal.SIGCONT)
        server.process.kill()
        server.process.wait(60)
        with suppress(Exception):
            await client.aclose()
    image.unlink()
    with mounted(after, folder / "after") as disk:
        server = EmbeddedValkey(disk / "valkey", folder / "v.sock", folder / "valkey.log", append_fsync=append_fsync)
        server.start()
        client = connect(server.url)
        found: set[UUID] = set()
        for part in range(2):
            for _, fields in await client.xrange(stream_key(part)):
                found |= {beat.event_id for beat in unpack_beats(fields[b"b"])}
        await client.aclose()
        server.stop()
    after.unlink()
    return len(acknowledged), len(acknowledged - found)


async def test_no_acknowledged_beat_is_lost_when_the_power_fails(folder: Path) -> None:
    """`appendfsync always`, the embedded default."""
    cuts = [await cut(folder, number, "always") for number in range(CUTS)]
    assert [lost for _, lost in cuts] == [0] * CUTS
    assert sum(acknowledged for acknowledged, _ in cuts) > CUTS * 200


async def test_the_power_cut_is_one(folder: Path) -> None:
    """The negative control: where nothing waits for the disk, the same cut loses what was acknowledged."""
    acknowledged, lost = await cut(folder, 0, "no")
    assert 0 < lost <= acknowledged
