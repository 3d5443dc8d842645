"""The demo that the end-to-end tests share: the real `./penstock demo`, once a run."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.running import Penstock

READY_S = 900
AGAIN_S = 60
# A picture for the README shows them as they are meant.
IS_SHOWN = os.environ.get("PENSTOCK_SCREENSHOTS") == "1"
HEIGHTS = (240, 360, 480, 720) if IS_SHOWN else (240, 360)
"""The ladder of its films."""

TEST_CARD = "Test Card in Motion"
SEAHORSE = "Into the Seahorse Valley"
CAPTIONED = "Still Lifes and Gliders"
DAWN = "Slow Light: Dawn"
DUSK = "Slow Light: Dusk"
MUSIC = "Five Tones for an Empty Room"
ADA, VERA, OTTO = "ada@example.com", "vera@example.com", "otto@example.com"


@dataclass
class Demo:
    """A running demo and what it said about itself."""

    data: Path
    penstock: Penstock
    said: dict[str, Any] = field(default_factory=dict)

    def start(self, timeout_s: float) -> None:
        """Starts it and waits for its line."""
        self.penstock.start()
        self.said = json.loads(self.penstock.wait_line(timeout_s))

    def restart(self) -> None:
        """Ends it and starts it on the same folder."""
        self.penstock.stop()
        self.start(AGAIN_S)

    @property
    def url(self) -> str:
        """Where it listens."""
        return str(self.said["url"])

    @property
    def anon_key(self) -> str:
        """The public key of the installation."""
        return str(self.said["anon_key"])

    @property
    def service_key(self) -> str:
        """The key that may everything."""
        return str(self.said["service_key"])

    @property
    def database_url(self) -> str:
        """The app's role on its database."""
        return str(self.said["database_url"])

    @property
    def titles(self) -> list[dict[str, Any]]:
        """id, title, content_type, free, duration_s of every title."""
        return list(self.said["contents"])

    def id_of(self, title: str) -> str:
        """The content id of a title."""
        return str(next(item["id"] for item in self.titles if item["title"] == title))

    def password_of(self, email: str) -> str:
        """The password of one of its people."""
        return str(next(person["password"] for person in self.said["users"] if person["email"] == email))


def pytest_addoption(parser: pytest.Parser) -> None:
    """For people at work on these tests: a library made once serves many runs."""
    parser.addoption(
        "--demo-data", help="A folder in which `penstock demo` has already made its library; it is copied."
    )


@pytest.fixture(scope="session")
def demo(request: pytest.FixtureRequest) -> Iterator[Demo]:
    """The run's demo; ended with SIGTERM, and nothing of it may stay."""
    folder = Path(tempfile.mkdtemp(prefix="psd-", dir="/tmp"))
    folder.chmod(0o755)
    data = folder / "d"
    if made := request.config.getoption("--demo-data"):
        shutil.copytree(made, data, symlinks=True, ignore=shutil.ignore_patterns("*.sock", "postmaster.pid", ".s.*"))
    # Small pictures: drawing and encoding the library at 720 lines took 257 s of processor time, a sixth of the suite.
    size = ("--lines", str(HEIGHTS[-1]))
    running = Demo(data, Penstock(["demo", "--json", "--people", "0", *size, "--port", "0", "--data", data]))
    try:
        running.start(READY_S)
        yield running
    finally:
        try:
            code = running.penstock.stop()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    assert code == 0, running.penstock.stderr[-3000:]
