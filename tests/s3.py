"""A bucket for tests: moto's server in a process of its own, which can be stopped, continued and killed."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from core.process import die_with_parent
from edge.cli.tools import MOTO_VENV
from tests.running import environment
from tests.waiting import until_now

BUCKET = "penstock-media"
START_S = 90


@dataclass
class Bucket:
    """An S3 with one bucket, and everything it has been asked."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def variables(self) -> Mapping[str, str]:
        """What whoever uses it must be given."""
        return {
            "PENSTOCK_STORE_URL": f"s3://{BUCKET}/one/place",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "a-secret-of-tests",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "false",
        }

    def reads(self, name: str) -> int:
        """How often an object whose key ends so has been read."""
        return len(re.findall(rf'"GET /{BUCKET}/\S*{re.escape(name)} HTTP', self.log.read_text(errors="replace")))

    @contextmanager
    def silent(self) -> Iterator[None]:
        """In the block it takes connections and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """From here on nobody listens, and all is lost."""
        self.process.kill()
        self.process.wait()


@contextmanager
def running_bucket() -> Iterator[Bucket]:
    """Starts it with an empty bucket, ends it."""
    folder = Path(tempfile.mkdtemp(prefix="ps3-", dir="/tmp"))
    log = folder / "log"
    argv = [str(MOTO_VENV / "bin" / "python"), "-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=environment(),
            preexec_fn=die_with_parent(),
            cwd=folder,
        )
    try:

        def address() -> str | None:
            assert process.poll() is None, log.read_text()[-2000:]
            found = re.search(r"Running on (http://127\.0\.0\.1:\d+)", log.read_text())
            return found[1] if found else None

        url = until_now(address, START_S, "moto to listen")
        assert url is not None
        with urllib.request.urlopen(urllib.request.Request(f"{url}/{BUCKET}", method="PUT"), timeout=60) as made:
            assert made.status == 200
        yield Bucket(url, process, log)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
