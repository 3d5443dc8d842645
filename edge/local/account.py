"""The system account that PostgreSQL runs under when we are root: it refuses to run as root itself."""

from __future__ import annotations

import os
import pwd
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.process import run_tool
from edge.local.fault import ServiceFault

ACCOUNT = "penstock"


@dataclass(frozen=True, slots=True)
class RunAs:
    """How to start a program unprivileged: as `user` (uid, gid), or by a prefix to its command line; who owns its files."""

    user: tuple[int, int] | None = None
    prefix: tuple[str, ...] = ()
    owner: tuple[int, int] | None = None

    def own(self, folder: Path) -> None:
        """Makes `folder` and all in it the account's."""
        if self.owner is None:
            return
        os.chown(folder, *self.owner)
        for inside, folders, files in os.walk(folder):
            for name in (*folders, *files):
                # Backends of a server that was killed take their own temporary files away while we look.
                with suppress(FileNotFoundError):
                    os.chown(Path(inside, name), *self.owner, follow_symlinks=False)


def _ids() -> tuple[int, int]:
    for name in (ACCOUNT, "nobody"):
        try:
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
        except KeyError:
            continue
    raise ServiceFault(
        "PostgreSQL", "refuses to run as root, and there is no other account", "Add a user named penstock."
    )


def unprivileged(*must_reach: Path) -> RunAs:
    """How to run PostgreSQL from here. As a plain user: as ourselves.

    As root: as `penstock` (made when missing), else `nobody`. A checkout below a closed folder such as /root cannot be
    reached by that account; the server then keeps the one capability that reads past folder permissions.
    """
    if os.geteuid() != 0:
        return RunAs()
    try:
        pwd.getpwnam(ACCOUNT)
    except KeyError:
        if useradd := shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin"):
            run_tool(
                [useradd, "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", ACCOUNT],
                timeout_s=20,
            )
    ids = _ids()
    if all(_open_to_others(path) for path in must_reach):
        return RunAs(user=ids, owner=ids)
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ServiceFault(
            "PostgreSQL",
            f"runs under an account that cannot reach {must_reach[0]}",
            "Put the checkout and PENSTOCK_DATA below a folder open to others, such as /opt or /srv.",
        )
    return RunAs(
        prefix=(
            setpriv,
            f"--reuid={ids[0]}",
            f"--regid={ids[1]}",
            "--clear-groups",
            "--inh-caps=+dac_override",
            "--ambient-caps=+dac_override",
            "--pdeathsig=INT",
            "--",
        ),
        owner=ids,
    )


def _open_to_others(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents if folder.exists())
