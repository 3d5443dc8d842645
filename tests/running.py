"""Runs the real `./penstock` from outside, as a person would, and sees that it takes everything down with it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from core.process import die_with_parent
from core.settings import ROOT
from tests.waiting import until_now

STOP_S = 60


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without our own settings, and with the Python environment we already run in."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PENSTOCK_", "DATABASE_URL"))}
    return {**kept, "PENSTOCK_VENV": sys.prefix, **(extra or {})}


def run_penstock(
    *arguments: str | Path, timeout_s: float = 120, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return subprocess.run(
        [str(ROOT / "penstock"), *(str(part) for part in arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=environment(env),
        check=False,
        cwd="/",
    )


@dataclass
class Penstock:
    """A `./penstock` that serves until it is stopped."""

    arguments: Sequence[str | Path]
    env: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    _folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="pso-", dir="/tmp")))

    def __post_init__(self) -> None:
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def start(self) -> None:
        """Starts it; returns at once."""
        with (self._folder / "out").open("wb") as out, (self._folder / "err").open("wb") as err:
            self.process = subprocess.Popen(
                [str(ROOT / "penstock"), *(str(part) for part in self.arguments)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment(self.env),
                start_new_session=True,
                # A test run that is killed must not leave a server behind.
                preexec_fn=die_with_parent(death_signal=signal.SIGTERM),
                cwd="/",
            )

    @property
    def stdout(self) -> str:
        """What it printed."""
        return (self._folder / "out").read_text(errors="replace")

    @property
    def stderr(self) -> str:
        """What it said."""
        return (self._folder / "err").read_text(errors="replace")

    def wait_line(self, timeout_s: float) -> str:
        """Its first whole line on stdout. Raises AssertionError with its stderr when it ends or takes too long."""

        def line() -> str:
            assert self.process is not None
            head, newline, _ = self.stdout.partition("\n")
            if newline:
                return head
            if self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode}:\n{self.stderr[-3000:]}")
            return ""

        return until_now(line, timeout_s, f"a line from {self.arguments}; stderr: {self.stderr[-2000:]}")

    def wait_said(self, text: str, timeout_s: float) -> str:
        """Its stderr once `text` is in it."""

        def said() -> str:
            assert self.process is not None
            if text in self.stderr:
                return self.stderr
            if self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode}:\n{self.stderr[-3000:]}")
            return ""

        return until_now(said, timeout_s, f"{text!r} from {self.arguments}")

    def family(self) -> list[psutil.Process]:
        """Every process below it."""
        assert self.process is not None
        return psutil.Process(self.process.pid).children(recursive=True)

    def named(self, *words: str) -> list[psutil.Process]:
        """The processes below it whose command line has all of `words`."""
        found = []
        for process in self.family():
            try:
                line = " ".join(process.cmdline())
            except psutil.NoSuchProcess:
                continue
            if all(word in line for word in words):
                found.append(process)
        return found

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signals it and waits; its exit code. Raises AssertionError when anything it started is still there."""
        assert self.process is not None
        family = self.family() if self.process.poll() is None else []
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(60)
            raise AssertionError(f"did not end within {STOP_S} s:\n{self.stderr[-3000:]}") from None
        _, alive = psutil.wait_procs(family, timeout=60)
        left = [" ".join(process.cmdline())[:120] for process in alive if process.status() != psutil.STATUS_ZOMBIE]
        for process in alive:
            process.kill()
        assert left == [], f"still there after SIGTERM: {left}"
        return code
