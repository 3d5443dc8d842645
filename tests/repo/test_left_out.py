"""No test is left out in silence: a missing tool is named, and under CI it fails the run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.settings import ROOT
from edge.cli.benching import benchmarks
from edge.cli.testing import REASONS, pytest_arguments, wanted_tools
from edge.cli.tools import DEBIAN, NAMES, why_missing
from tests.installations import group_of, woven

SAMPLE = """
import pytest

@pytest.mark.needs("mpv")
def test_with_a_player(): ...

def test_without(): ...
"""


def run(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """pytest with the plugin, where no tool can be found."""
    (folder / "test_sample.py").write_text(SAMPLE)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = needs(tool): x\n")
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("CI", "PYTEST_ADDOPTS", REASONS) and "XDIST" not in name
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.needs", "-p", "no:cacheprovider", "-q", "test_sample.py"],
        cwd=folder,
        env={**kept, "PATH": str(folder), "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_test_without_its_tool_is_named_with_the_reason(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed, 1 skipped" in done.stdout
    assert "test_sample.py::test_with_a_player: needs mpv: mpv is not installed" in done.stdout


def test_under_ci_a_test_left_out_is_a_failure(tmp_path: Path) -> None:
    done = run(tmp_path, CI="true")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 left out, which CI=true takes for a failure" in done.stdout


def test_why_it_could_not_be_installed_is_passed_on(tmp_path: Path) -> None:
    done = run(tmp_path, **{REASONS: '{"mpv": "only root may install it"}'})
    assert "needs mpv: only root may install it" in done.stdout


def test_tools_are_found_in_the_marks_of_the_files(tmp_path: Path) -> None:
    path = tmp_path / "test_x.py"
    path.write_text(
        '@pytest.mark.needs("chromium", "node")\npytestmark = [pytest.mark.needs(\'mpv\')]\nneeds("something else")\n'
    )
    assert wanted_tools([path]) == {"chromium", "node", "mpv"}


def test_every_mark_names_a_tool_that_can_be_brought() -> None:
    import re

    named = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        if path != Path(__file__) and "node_modules" not in path.parts:
            named.update(re.findall(r"mark\.needs\([\"'](\w+)[\"']", path.read_text()))
    assert named <= NAMES
    assert {"chromium", "gstreamer", "mpv", "node"} <= named


def test_a_missing_program_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in DEBIAN:
        assert why_missing(name) is not None


def test_the_callers_arguments_win() -> None:
    assert pytest_arguments([], long=False, cores=4) == ["-n", "6", "--dist", "worksteal", "-m", "not long"]
    assert pytest_arguments([], long=True, cores=1) == ["-n", "2", "--dist", "worksteal"]
    assert pytest_arguments(["-n0", "-m", "long"], long=False, cores=4) == ["-n0", "-m", "long"]
    assert pytest_arguments(["--pdb", "x.py"], long=False, cores=4) == ["-m", "not long", "--pdb", "x.py"]


def test_tests_of_one_installation_stay_together() -> None:
    assert group_of("tests/e2e/test_browser.py::test_x[a]") == group_of("tests/conformance/test_players.py::test_y")
    assert group_of("tests/faults/test_z.py::test_z") not in ("demo", "tests/faults/test_z.py::test_z")
    assert group_of("tests/core/test_ids.py::test_i") == "tests/core/test_ids.py::test_i"


@pytest.mark.parametrize("waiting", [0, 1, 3, 40])
def test_tests_that_wait_stand_between_files_and_none_is_lost(waiting: int) -> None:
    files = [
        "tests/conformance/http/test_a.py",
        "tests/conformance/http/test_b.py",
        *(f"tests/core/test_{n}.py" for n in range(9)),
    ]
    ids = [f"{file}::test_{n}" for file in files for n in range(3)]
    ids += [f"tests/transcoder/test_t.py::test_{n}" for n in range(waiting)]
    order = woven(ids)
    assert sorted(order) == list(range(len(ids)))
    handed = [ids[index] for index in order]
    others = [nodeid for nodeid in handed if not nodeid.startswith("tests/transcoder/")]
    assert others == [nodeid for nodeid in ids if not nodeid.startswith("tests/transcoder/")]
    at = [handed.index(nodeid) for nodeid in handed if nodeid.startswith("tests/transcoder/")]
    before = [handed[place - 1] for place in at]
    assert all(nodeid.endswith("::test_2") or nodeid.startswith("tests/transcoder/") for nodeid in before)
    assert not any(nodeid.startswith("tests/conformance/http/test_a.py") for nodeid in before)
    assert handed[-3:] == ids[len(files) * 3 - 3 : len(files) * 3]


def test_benchmarks_are_listed_by_what_they_measure() -> None:
    listed = benchmarks(ROOT / "bench")
    assert "locust" in listed
    assert "locustfile" not in listed
    assert all(listed.values())
