"""Running commands: who may, once for each idempotency key, all in one transaction with the answer and the effects.

Knows no command by name and no HTTP. What a command decides and writes is its context's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Protocol, TypeVar

import msgspec

from core.database import Database, Row, Tx
from core.domain.context import Command, Context, Handler, Subjects
from core.errors import (
    FORBIDDEN,
    KEY_BUSY,
    KEY_REUSED,
    NOT_FOUND,
    SHOWN_ONCE,
    SIGN_IN_NEEDED,
    UNKNOWN_COMMAND,
    Refusal,
    bad_field,
)
from core.queries import load
from core.viewer import Viewer

SQL = load("core.domain", "commands.sql")

S = TypeVar("S", bound=msgspec.Struct)
_KEY = re.compile(r"[!-~]{1,255}")


@dataclass(frozen=True, slots=True)
class Done:
    """The answer of a command as JSON, and whether it was given before."""

    body: bytes
    is_replay: bool = False


class Outside(Protocol):
    """What a command needs of the world outside: asked before its transaction, done after it, never within."""

    def check(self, asked: msgspec.Struct) -> Refusal | None:
        """Whether that world is there for `asked` at all."""

    async def finish(self, viewer: Viewer, asked: msgspec.Struct, answer: msgspec.Struct) -> msgspec.Struct:
        """Does what `answer`, which is committed, calls for. It is done again when the command is sent again. Raises Refusal."""


class Commands:
    """Every command of every context; `outside` by the record that asks."""

    def __init__(
        self,
        database: Database,
        contexts: tuple[Context, ...],
        outside: Mapping[type[msgspec.Struct], Outside] | None = None,
    ) -> None:
        self._database = database
        self._outside = outside or {}
        self._handlers: dict[type[msgspec.Struct], Handler] = {}
        commands: dict[str, Command] = {}
        for context in contexts:
            if twice := commands.keys() & context.commands.keys():
                raise ValueError(f"{context.name}: {', '.join(sorted(twice))} is there twice")
            commands.update(context.commands)
            self._handlers.update(context.handlers)
        if idle := sorted(name for name, command in commands.items() if command.request not in self._handlers):
            raise ValueError(f"nobody handles {', '.join(idle)}")
        self.known: Mapping[str, Command] = commands
        tables = {table.name: table.verbs for context in contexts for table in context.tables}
        self._subjects: Subjects = {**tables, "rpc": commands.keys()}

    def find(self, name: str, viewer: Viewer) -> Command:
        """The command of that name, if `viewer` may give it. Raises Refusal UNKNOWN_COMMAND, SIGN_IN_NEEDED, FORBIDDEN, OUT_OF_SCOPE."""
        command = self.known.get(name)
        if command is None:
            meant = get_close_matches(name[:63], self.known, n=1)
            raise Refusal(UNKNOWN_COMMAND, hint=f"Perhaps you meant {meant[0]}." if meant else None)
        if viewer.role not in command.roles:
            raise Refusal(SIGN_IN_NEEDED if viewer.user_id is None else FORBIDDEN)
        viewer.check_scope("rpc", name)
        return command

    async def run(
        self, viewer: Viewer, name: str, asked: msgspec.Struct, *, now: datetime, key: str | None = None
    ) -> Done:
        """Does what `asked` says, or answers as the first time if `key` was used for it within a day.

        Raises Refusal (nothing was changed then, and the key is free), DatabaseDown.
        """
        command = self.find(name, viewer)
        if command.check is not None and (refusal := command.check(asked, self._subjects)):
            raise refusal
        outside = self._outside.get(command.request)
        if outside is not None and (refusal := outside.check(asked)):
            raise refusal
        done = await self._decide(viewer, name, command, asked, now=now, key=key)
        if outside is None:
            return done
        answer = await outside.finish(viewer, asked, msgspec.json.decode(done.body, type=command.answer))
        return Done(msgspec.json.encode(answer), done.is_replay)

    async def _decide(
        self, viewer: Viewer, name: str, command: Command, asked: msgspec.Struct, *, now: datetime, key: str | None
    ) -> Done:
        if key is None or command.is_read:
            async with self._database.transaction(viewer) as tx:
                return Done(msgspec.json.encode(await self._handlers[command.request](tx, viewer, asked, now)))
        if _KEY.fullmatch(key) is None:
            raise bad_field("Idempotency-Key", "must be 1 to 255 visible ASCII characters")
        request_hash = hashlib.sha256(name.encode() + b"\0" + msgspec.json.encode(asked, order="sorted")).digest()
        async with self._database.transaction(viewer) as tx:
            if not await tx.value(SQL["key_lock"], key):
                raise Refusal(KEY_BUSY, retry_after_s=1)
            await tx.run(SQL["keys_sweep"], now)
            kept = await tx.one(SQL["key_get"], key)
            if kept is not None:
                if (kept["command"], kept["request_hash"]) != (name, request_hash):
                    raise Refusal(KEY_REUSED)
                if command.shows_secret:
                    raise Refusal(SHOWN_ONCE)
                return Done(kept["answer"], is_replay=True)
            body = msgspec.json.encode(await self._handlers[command.request](tx, viewer, asked, now))
            await tx.run(SQL["key_insert"], key, name, request_hash, b"" if command.shows_secret else body)
        return Done(body)


def answer(kind: type[S], row: Row | None) -> S:
    """`row` as the record `kind`, whose fields are its columns. Raises Refusal NOT_FOUND where there is none."""
    if row is None:
        raise Refusal(NOT_FOUND)
    return kind(**dict(row))


@asynccontextmanager
async def acting_as_service(tx: Tx) -> AsyncIterator[None]:
    """The product's own right for what a command has decided and the person could not write themselves.

    Whoever acts is still named in what is audited. An error within ends the transaction, and the right with it.
    """
    was = await tx.value(SQL["service_begin"])
    yield
    await tx.run(SQL["service_end"], was)


async def emit(tx: Tx, topic: str, subject: str, payload: object) -> None:
    """Writes an effect of the command under way; it leaves the database when `tx` commits."""
    await tx.run(SQL["outbox_insert"], topic, subject, msgspec.json.encode(payload).decode())
