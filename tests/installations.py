"""A pytest plugin: which xdist process runs what, and when. Tests that share an installation run in one, so that it is started once.

By folder and not by xdist's own groups: those write the group into an item's id, which pytest 9.2 no longer allows, and are
then silently without effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

SHARED = {"tests/e2e/": "demo", "tests/conformance/test_": "demo", "tests/faults/": "faults"}

WAITING = ("tests/transcoder/", "tests/edge/local/", "tests/edge/effects/")
"""Where tests wait for other programs for most of their time."""
TOGETHER = "tests/conformance/http/"
"""A package whose tests share servers: interrupted, it would start them again."""
_WOVEN_SHARE = 0.8


def group_of(nodeid: str) -> str:
    """The unit of work that a test belongs to: its installation's, or itself alone."""
    return next((group for folder, group in SHARED.items() if nodeid.startswith(folder)), nodeid)


def woven(nodeids: Sequence[str]) -> list[int]:
    """The order in which tests are handed out, as indices: those that wait stand between the files of those that do not.

    In the order of their names nearly all that wait come last, and then three processes keep two cores busy for six tenths of
    the time. The last fifth of the files has none of them, so that no process is left alone with a long one.
    """
    files: dict[str, list[int]] = {}
    waiting = []
    for index, nodeid in enumerate(nodeids):
        if nodeid.startswith(WAITING):
            waiting.append(index)
        else:
            files.setdefault(TOGETHER if nodeid.startswith(TOGETHER) else nodeid.partition("::")[0], []).append(index)
    order: list[int] = []
    given = 0
    for number, file in enumerate(files.values(), 1):
        due = ceil(number * len(waiting) / (_WOVEN_SHARE * len(files)))
        order += file + waiting[given:due]
        given = max(given, due)
    return order + waiting[given:]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In every xdist process alike; who runs tests one by one finds them in the order of their names."""
    if hasattr(config, "workerinput"):
        items[:] = [items[index] for index in woven([item.nodeid for item in items])]


class ByInstallation(LoadScopeScheduling):
    """Hands out whole groups, the largest first."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """Forgets a group that is done: all that a process ever had are counted through after each of its tests."""
        group = group_of(self.registered_collections[node][item_index])
        super().mark_test_complete(node, item_index, duration)
        if all(self.assigned_work[node][group].values()):
            del self.assigned_work[node][group]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByInstallation:
    """Whatever --dist says."""
    return ByInstallation(config, log)
