"""A pytest plugin: tests that share an installation run in one xdist process, so that it is started once.

By folder and not by xdist's own groups: those write the group into an item's id, which pytest 9.2 no longer allows, and are
then silently without effect.
"""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

SHARED = {"tests/e2e/": "demo", "tests/conformance/test_": "demo", "tests/faults/": "faults"}


def group_of(nodeid: str) -> str:
    """The unit of work that a test belongs to: its installation's, or itself alone."""
    return next((group for folder, group in SHARED.items() if nodeid.startswith(folder)), nodeid)


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
