"""Asks a sandboxed child what a file holds. Decides when that has taken too long; reads no stream itself."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import msgspec

from core import errors
from core.errors import Code, Refusal
from core.process import Limits, running
from transcoder.confine import EXIT_UNCONFINED
from transcoder.encoder import Transient
from transcoder.sandbox import ROOT, find_shelter, shut_in
from transcoder.sniff import HEAD_BYTES, check_head, check_length
from transcoder.source import Source

# Whatever spins over a file spends its share of the processor; who waits longer than that waits for the machine.
PROBE_CPU_S = 20.0
PROBE_TIMEOUT_S = 90.0
# Formats without an index are read to their end; disks and page caches do far better than this.
PROBE_BYTES_PER_S = 50_000_000
_MEMORY_BYTES = 2 << 30
# No setting, password or key of ours reaches a process that reads hostile files.
_ENVIRONMENT = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0", "LANG": "C.UTF-8"}
_SPENT = (-signal.SIGXCPU, 128 + signal.SIGXCPU)
_CODES = {code.code: code for code in vars(errors).values() if isinstance(code, Code)}


async def probe(path: Path) -> Source:
    """What the file at `path` holds. Raises Refusal (PS601 to PS607), never trusting the file, or Transient."""
    size_bytes = await asyncio.to_thread(_look, path)
    reading_s = size_bytes / PROBE_BYTES_PER_S
    limits = Limits(cpu_s=int(PROBE_CPU_S + reading_s) + 1, memory_bytes=_MEMORY_BYTES, file_bytes=0)
    shelter = await asyncio.to_thread(find_shelter)
    asked = [sys.executable, "-m", "transcoder.probe_child", str(path)]
    code_of_ours = [ROOT / name for name in ("core", "transcoder")]
    argv = shut_in(shelter, asked, reads=[*code_of_ours, path], lists=[ROOT], cwd=ROOT)
    env = {**_ENVIRONMENT, "PYTHONPATH": str(ROOT)}
    try:
        async with (
            asyncio.timeout(PROBE_TIMEOUT_S + reading_s),
            running(argv, cwd=ROOT, env=env, limits=limits) as child,
        ):
            answer = "".join([line async for line in child.lines()])
            code = await child.wait()
            tail = child.stderr_tail[-300:]
    except TimeoutError:
        raise Transient(Refusal(errors.PROBE_TIMEOUT)) from None
    return _read(answer, code, tail)


def _look(path: Path) -> int:
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        if refusal := check_head(file.read(HEAD_BYTES), size_bytes) or check_length(file, size_bytes):
            raise refusal
    return size_bytes


def _read(answer: str, code: int, tail: str) -> Source:
    if code == EXIT_UNCONFINED:
        raise Transient(Refusal(errors.NOT_CONFINED, details=tail))
    if code in _SPENT:
        raise Refusal(errors.PROBE_TIMEOUT)
    if code != 0 or not answer:
        # Killed by a limit or crashed by the file: either way it cannot be encoded.
        raise Refusal(errors.NOT_MEDIA, details=f"The reader ended with {code}. {tail}".strip())
    outcome = msgspec.json.decode(answer)
    if rejected := outcome.get("rejected"):
        raise Refusal(_CODES[rejected["code"]], rejected["message"])
    return msgspec.convert(outcome["source"], Source)
