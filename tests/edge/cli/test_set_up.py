"""The first start of a checkout: what `./penstock` says while it installs, what it leaves to stdout, and how it fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.settings import ROOT

WAIT_S = 300
ABSENT = f"no-such-package-of-penstock==1.0 \\\n    --hash=sha256:{'0' * 64}\n"
pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The command, with nothing to install and a program that answers in one line."""
    folder = tmp_path / "checkout"
    (folder / "edge" / "cli").mkdir(parents=True)
    shutil.copy2(ROOT / "penstock", folder / "penstock")
    for lock in ("requirements.lock", "requirements-dev.lock"):
        (folder / lock).write_text("")
    (folder / "edge" / "__init__.py").touch()
    (folder / "edge" / "cli" / "__init__.py").touch()
    (folder / "edge" / "cli" / "__main__.py").write_text("print('{}')\n")
    return folder


def typed(checkout: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`./penstock WORDS`, without a package index."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PENSTOCK_", "PIP_", "UV_"))}
    env = {**kept, "PENSTOCK_PYTHON": sys.executable, "PIP_NO_INDEX": "1", "UV_OFFLINE": "1"}
    return subprocess.run(
        [checkout / "penstock", *words], capture_output=True, text=True, timeout=WAIT_S, env=env, check=False, cwd="/"
    )


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Its own lines on stderr, without the installer's."""
    return [line for line in done.stderr.splitlines() if line.startswith("penstock: ")]


def test_it_says_on_stderr_what_it_does_and_when_it_is_done(checkout: Path) -> None:
    first = typed(checkout, "demo", "--json")
    assert (first.returncode, first.stdout) == (0, "{}\n"), first.stderr
    begins, done = said(first)
    assert f"setting up in {checkout}/.venv: 0 packages, about 420 MB" in begins
    assert done.startswith("penstock: set up in ")
    again = typed(checkout, "demo", "--json")
    assert (again.returncode, again.stdout, said(again)) == (0, "{}\n", [])


def test_one_that_fails_says_that_it_may_be_run_again(checkout: Path) -> None:
    (checkout / "requirements.lock").write_text(ABSENT)
    failed = typed(checkout, "demo", "--json")
    assert failed.returncode != 0
    assert failed.stdout == ""
    begins, end = said(failed)
    assert "setting up in" in begins
    assert "1 packages" in begins
    assert "run the same command again" in end
    (checkout / "requirements.lock").write_text("")
    again = typed(checkout, "demo", "--json")
    assert (again.returncode, again.stdout) == (0, "{}\n"), again.stderr
