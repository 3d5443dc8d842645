"""`penstock deadletters`: batches of heartbeats that could not be written, to be read, put back or thrown away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from edge.cli.up import settings_for
from edge.local.fault import ServiceFault
from edge.local.installation import running_settings
from edge.progress.dead import DeadLetter, DeadLetters
from edge.progress.stream import partitions_in_use
from edge.redis_client import RedisError, connect

Act = Callable[[DeadLetters, str], Awaitable[bool]]


def run_list(*, data: Path | None, as_json: bool) -> int:
    """Prints each letter: name, time, tries, beats, reason."""
    return asyncio.run(_list(data, as_json))


def run_show(name: str, *, data: Path | None) -> int:
    """Prints one letter with its beats as JSON; 1 when there is none."""
    return asyncio.run(_show(name, data))


def run_replay(names: list[str], *, every: bool, data: Path | None) -> int:
    """Puts letters back into the stream; 1 when one of them is not there."""
    return asyncio.run(_each(names, every, data, lambda letters, name: letters.replay(name), "Replayed"))


def run_drop(names: list[str], *, every: bool, data: Path | None) -> int:
    """Deletes letters; 1 when one of them is not there."""
    return asyncio.run(_each(names, every, data, lambda letters, name: letters.drop(name), "Dropped"))


@asynccontextmanager
async def _opened(data: Path | None) -> AsyncIterator[DeadLetters]:
    settings = settings_for(port=None, data=data)
    running = settings if settings.redis_url is not None else running_settings(settings)
    if running is None or running.redis_url is None:
        raise ServiceFault(
            "Penstock",
            f"is not running on {settings.data}",
            "Start it with `./penstock up`, name its folder with --data, or set PENSTOCK_REDIS_URL.",
        )
    redis = connect(running.redis_url)
    try:
        yield DeadLetters(redis, await partitions_in_use(redis, settings.progress_partitions))
    except (RedisError, OSError) as error:
        raise ServiceFault("Redis", f"does not answer ({error})", "Is it running?") from error
    finally:
        await redis.aclose()


async def _list(data: Path | None, as_json: bool) -> int:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("letter", "set aside", "tries", "beats", "reason"):
        table.add_column(heading, justify="right" if heading in ("tries", "beats") else "left", overflow="fold")
    async with _opened(data) as letters:
        count = 0
        async for letter in letters.all():
            count += 1
            if as_json:
                print(json.dumps(_facts(letter)))
            else:
                table.add_row(
                    letter.name,
                    f"{letter.at:%Y-%m-%d %H:%M:%S}Z",
                    str(letter.tries),
                    _beat_count(letter),
                    letter.reason,
                )
    if not as_json:
        Console().print(table if count else "There are no dead letters.")
    return 0


async def _show(name: str, data: Path | None) -> int:
    async with _opened(data) as letters:
        letter = await letters.get(name)
    if letter is None:
        return _missing([name])
    facts: dict[str, object] = _facts(letter)
    try:
        facts["contents"] = [
            {
                **msgspec.to_builtins(dict(zip(beat.__struct_fields__, msgspec.structs.astuple(beat), strict=True))),
                "at": datetime.fromtimestamp(beat.at_ms / 1000, UTC).isoformat(),
            }
            for beat in letter.beats()
        ]
    except (msgspec.DecodeError, msgspec.ValidationError):
        facts["unreadable_hex"] = letter.packed.hex()
    print(json.dumps(facts, indent=2))
    return 0


async def _each(names: list[str], every: bool, data: Path | None, act: Act, done: str) -> int:
    if bool(names) == every:
        raise ServiceFault("deadletters", "needs names, or --all instead of them", "`penstock deadletters` lists them.")
    async with _opened(data) as letters:
        if every:
            names = [letter.name async for letter in letters.all()]
        missing = [name for name in names if not await act(letters, name)]
    acted = len(names) - len(missing)
    Console().print(f"{done} {acted} dead letter{'' if acted == 1 else 's'}.")
    return _missing(missing) if missing and not every else 0


def _missing(names: list[str]) -> int:
    Console(stderr=True).print(f"There is no dead letter {', '.join(names)}.", markup=False, highlight=False)
    return 1


def _facts(letter: DeadLetter) -> dict[str, object]:
    return {
        "letter": letter.name,
        "at": letter.at.isoformat(),
        "reason": letter.reason,
        "tries": letter.tries,
        "entry": letter.entry,
        "beats": _beat_count(letter),
    }


def _beat_count(letter: DeadLetter) -> str:
    try:
        return str(len(letter.beats()))
    except (msgspec.DecodeError, msgspec.ValidationError):
        return "?"
