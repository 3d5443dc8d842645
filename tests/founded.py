"""A data folder as a first start leaves it: what initdb and the schema make is made once a run, and copied.

A first start from nothing is what `tests/demo.py` and the bucket's house do.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from edge.local.postgres import EmbeddedPostgres

FOUNDED = "PENSTOCK_TEST_FOUNDED"
"""Environment variable: the folder to copy."""


def keep(server: EmbeddedPostgres, secrets: Path, target: Path) -> None:
    """Copies what a server that has been stopped leaves, and announces it to every process of the run."""
    target.mkdir()
    shutil.copytree(server.folder, target / "postgres", symlinks=True)
    shutil.copy2(secrets, target / "secrets.json")
    os.environ[FOUNDED] = str(target)


def found(data: Path) -> None:
    """Makes `data` a data folder that has been started once; leaves a first start to be done where the run made none."""
    if founded := os.environ.get(FOUNDED):
        shutil.copytree(founded, data, symlinks=True)
