"""`penstock worker`: a transcoding worker on a machine of its own."""

from __future__ import annotations

import os
import sys

from core.domain.media_settings import read_worker_settings
from core.settings import ROOT
from core.variables import SettingsError, Variables


def run_worker() -> int:
    """Becomes the worker process. Raises SettingsError when it would not know where to work."""
    settings = read_worker_settings(Variables())
    if settings.database_url is None:
        raise SettingsError(
            "PENSTOCK_DATABASE_URL",
            "is not set, and a worker of its own needs one",
            "`./penstock up --workers N` runs workers beside embedded servers.",
        )
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, "-m", "transcoder"])  # noqa: S606 - ourselves, not a shell
