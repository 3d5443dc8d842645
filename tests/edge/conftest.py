"""A folder for an installation of a test's own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def data() -> Iterator[Path]:
    """A data folder that is not there yet; the paths of its sockets are short enough."""
    folder = Path(tempfile.mkdtemp(prefix="psd-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder / "d"
    shutil.rmtree(folder, ignore_errors=True)
