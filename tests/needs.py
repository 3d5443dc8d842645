"""A pytest plugin: a test whose outside tool is missing is skipped with the reason; none is left out in silence.

Under CI=true a test left out is a failure of the run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable

import pytest

from edge.cli.testing import REASONS
from edge.cli.tools import why_missing


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips before any fixture is made."""
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            if (why := why_missing(name)) is not None:
                pytest.skip(f"needs {name}: {_reasons().get(name, why)}")


def _reasons() -> dict[str, str]:
    reasons: dict[str, str] = json.loads(os.environ.get(REASONS, "{}"))
    return reasons


def left_out(reports: Iterable[pytest.TestReport | pytest.CollectReport]) -> list[tuple[str, str]]:
    """Each skipped test and why, by its id."""
    found = []
    for report in reports:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        found.append((report.nodeid, reason.removeprefix("Skipped: ")))
    return sorted(found)


def _skipped(config: pytest.Config) -> list[tuple[str, str]]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return left_out(reporter.stats.get("skipped", ())) if reporter is not None else []


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Under CI=true a run that left something out has failed, however green the rest."""
    if hasattr(session.config, "workerinput") or os.environ.get("CI") != "true":
        return
    if session.exitstatus == pytest.ExitCode.OK and _skipped(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Names each test that was left out, and why."""
    skipped = _skipped(config)
    if not skipped:
        return
    terminalreporter.section("left out", yellow=True)
    for nodeid, reason in skipped:
        terminalreporter.line(f"{nodeid}: {reason}")
    verdict = "which CI=true takes for a failure" if os.environ.get("CI") == "true" else "everything else was run"
    terminalreporter.line(f"{len(skipped)} left out, {verdict}.")
