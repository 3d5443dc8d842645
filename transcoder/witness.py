"""Decodes what an encoder writes while it writes it: one decoder for each of its files, that gives way to every encoder.

An encoder of several pictures leaves up to a tenth of the processors idle, since its outputs wait for one another; that is what the
decoders take first. What has not been taken yet stays on the disk.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from core import errors
from core.errors import Refusal
from core.process import Child
from transcoder import encode, encoder
from transcoder.boxes import Mp4Error
from transcoder.mp4 import Fragment, read_fragment
from transcoder.progress import Progress
from transcoder.samples import Decoded, Tally, write_record
from transcoder.tail import Tail
from transcoder.unsound import Rule, Unsound, refusal_of

POLL_S = 0.25
# Behind the encoder, and never starved: at 19 a busy machine took 20 s over a decode of a tenth, and a minute to let a killed one go.
NICENESS = 5
# There are as many decoders as renditions, and each thread holds a picture or two. Two threads of a decoder take an eighth more
# of the processor than one does, and one follows the encoders that share two cores with it.
_MOST_THREADS = 4


async def encode_witnessed(
    exe: Path,
    argv: Sequence[str],
    total_s: float,
    moved: Callable[[Progress], None],
    *,
    reads: Sequence[Path],
    writes: Path,
    files: Sequence[Path],
    is_video: bool,
) -> dict[str, Decoded]:
    """Runs an encoder to its end and the decoders of `files`, which it makes, to theirs; what was decoded is recorded beside them.

    Raises Refusal for a bad source and for what a decoder complains of, else Transient.
    """
    over = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as group:
            watching = [group.create_task(_decode(exe, file, total_s, over, is_video=is_video)) for file in files]
            await encoder.encode(argv, total_s, moved, reads=reads, writes=writes)
            over.set()
            async with asyncio.timeout(encoder.patience_s(total_s)):
                found = await asyncio.gather(*watching)
    except BaseExceptionGroup as failures:
        # The others were cancelled for the sake of the first.
        raise _explain(failures.exceptions[0]) from None
    decoded = {file.name: one for file, one in zip(files, found, strict=True)}
    write_record(writes, decoded)
    return decoded


def _explain(failure: BaseException) -> BaseException:
    match failure:
        case Unsound():
            return refusal_of(failure)
        case Mp4Error():
            return Refusal(errors.VERIFY_FAILED, f"The encoder's output cannot be packaged: {failure}.")
        case TimeoutError():
            return Refusal(errors.ENCODE_FAILED, "The decoder did not end in time.")
    return failure


async def _decode(exe: Path, file: Path, total_s: float, over: asyncio.Event, *, is_video: bool) -> Decoded:
    """Gives `file` to a decoder as it grows, until `over`. Raises Unsound, Mp4Error, Transient."""
    growing = _Growing(file)
    argv = encode.pipe_argv(exe, max(1, min((os.cpu_count() or 1) // 2, _MOST_THREADS)), is_video=is_video)
    async with encoder.confined(argv, total_s, cwd=file.parent, is_fed=True) as child:
        _give_way(child.pid)
        while not child.stderr_tail:
            is_last = over.is_set()
            data = await asyncio.to_thread(growing.take)
            if data is not None:
                if not await _feed(child, data):
                    break
            elif is_last:
                break
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await over.wait()
        if child.stdin is not None:
            child.stdin.close()
        code = await child.wait()
        said = child.stderr_tail.strip()
    if code != 0 and isinstance(failure := encoder.explain(code, said), encoder.Transient):
        raise failure
    if code != 0 or said:
        raise Unsound(Rule.DECODE, file.stem, said[-500:] or f"the decoder ended with {code}")
    return growing.decoded()


async def _feed(child: Child, data: bytes) -> bool:
    """Waits until the decoder has taken nearly all of `data`; False when it reads no more."""
    assert child.stdin is not None
    try:
        child.stdin.write(data)
        await child.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


def _give_way(group: int) -> None:
    """Puts the decoder, with whatever shuts it in, behind the encoders of this worker."""
    niceness = os.getpriority(os.PRIO_PROCESS, 0) + NICENESS
    with suppress(OSError):
        os.setpriority(os.PRIO_PGRP, group, niceness)
    # Where the kernel groups processes by session (each child of ours is one), only the group's niceness counts.
    with suppress(OSError):
        Path(f"/proc/{group}/autogroup").write_text(str(NICENESS), "ascii")


class _Growing:
    """An encoder's file, box by box, with the digests of what was taken."""

    def __init__(self, file: Path) -> None:
        self._tail = Tail(file)
        self._whole = hashlib.sha256()
        self._tally: Tally | None = None
        self._fragment: Fragment | None = None

    def take(self) -> bytes | None:
        """The next box that is whole, if there is one. Blocking. Raises Mp4Error, OSError."""
        box = self._tail.next()
        if box is None:
            return None
        kind, data = box
        self._whole.update(data)
        if kind == b"moov":
            self._tally = Tally(data)
        elif kind == b"moof":
            self._fragment = read_fragment(data)
        elif kind == b"mdat":
            if self._tally is None or self._fragment is None:
                raise Mp4Error("media data without a fragment")
            self._tally.add(self._fragment, memoryview(data)[8:])
            self._fragment = None
        return data

    def decoded(self) -> Decoded:
        """What was taken, once that is the whole file. Raises Mp4Error."""
        self._tail.expect_end()
        if self._tally is None or self._fragment is not None:
            raise Mp4Error("a file without its media")
        return Decoded(self._whole.hexdigest(), self._tally.samples, self._tally.hexdigest())
