"""The tokens of PostgREST's query language: names, quoted text, JSON paths, separators.

Decides where a token ends and what to say when it is not there. Knows no clause, no table and no SQL.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from core.errors import BAD_QUERY, Code, Fault, Refusal

T = TypeVar("T")

MAX_NAME_BYTES = 63
"""PostgreSQL cuts longer identifiers, and two cut ones may become the same."""

# A hyphen may stand inside a name unless it begins an arrow.
_NAME = re.compile(r"(?:[\w$]|-(?!>))+")
_QUOTED_PART = re.compile(r'[^"\\]*')
_INDEX = re.compile(r"-?[0-9]{1,9}(?![\w$])")


@dataclass(frozen=True, slots=True)
class JsonStep:
    """One arrow of a JSON path: a key or an index, taken as JSON (`->`) or as text (`->>`)."""

    key: str | int
    as_text: bool


@dataclass(frozen=True, slots=True)
class Field:
    """A column, or a place inside a JSON column."""

    name: str
    path: tuple[JsonStep, ...] = ()


def refuse(parameter: str, why: str, hint: str | None = None, *, code: Code = BAD_QUERY) -> NoReturn:
    """Refuses the query string, naming the parameter."""
    raise Refusal(code, f"{parameter}: {why}", hint=hint, faults=(Fault(parameter, why),))


class Scanner:
    """A position in the text of one query parameter."""

    def __init__(self, text: str, parameter: str) -> None:
        self.text = text
        self.parameter = parameter
        self.at = 0

    def fail(self, expected: str) -> NoReturn:
        """Refuses: `expected` is not at the current position."""
        found = repr(self.text[self.at : self.at + 20]) if self.at < len(self.text) else "the end"
        refuse(self.parameter, f"expected {expected} but found {found} at character {self.at + 1}")

    @property
    def done(self) -> bool:
        """Whether nothing but spaces is left."""
        return not self.text[self.at :].strip(" ")

    def peek(self, token: str) -> bool:
        """Whether `token` comes next, spaces aside."""
        while self.text.startswith(" ", self.at):
            self.at += 1
        return self.text.startswith(token, self.at)

    def take(self, token: str) -> bool:
        """Steps over `token` if it comes next."""
        if self.peek(token):
            self.at += len(token)
            return True
        return False

    def expect(self, token: str) -> None:
        """Steps over `token` or refuses."""
        if not self.take(token):
            self.fail(repr(token))

    def finish(self) -> None:
        """Refuses unless the whole text is read."""
        if not self.done:
            self.fail("nothing more")

    def name(self, what: str) -> str:
        """An identifier, plain or in double quotes."""
        if self.peek('"'):
            found = self.quoted()
        else:
            match = _NAME.match(self.text, self.at)
            if match is None:
                self.fail(what)
            self.at = match.end()
            found = match.group()
        if not found or "\0" in found or len(found.encode()) > MAX_NAME_BYTES:
            refuse(self.parameter, f"{what} must have 1 to {MAX_NAME_BYTES} bytes and no NUL")
        return found

    def quoted(self) -> str:
        """Text in double quotes; a backslash takes the next character as it is."""
        self.expect('"')
        parts: list[str] = []
        while True:
            match = _QUOTED_PART.match(self.text, self.at)
            assert match is not None, "it matches nothing too"
            parts.append(match.group())
            self.at = match.end()
            if self.text.startswith('"', self.at):
                self.at += 1
                return "".join(parts)
            if self.at + 1 >= len(self.text):
                self.fail("a closing double quote")
            parts.append(self.text[self.at + 1])
            self.at += 2

    def listed(self, read: Callable[[], T]) -> tuple[T, ...]:
        """What `read` reads, once and again after every comma."""
        found = [read()]
        while self.take(","):
            found.append(read())
        return tuple(found)

    def until(self, stops: str) -> str:
        """Everything up to one of `stops` or the end, as it is."""
        start = self.at
        while self.at < len(self.text) and self.text[self.at] not in stops:
            self.at += 1
        return self.text[start : self.at]

    def field(self, what: str = "a column") -> Field:
        """`column`, `column->key->0->>key`."""
        name = self.name(what)
        steps: list[JsonStep] = []
        while self.take("->"):
            as_text = self.take(">")
            if steps and steps[-1].as_text:
                self.fail("nothing after `->>`, which gives text")
            index = _INDEX.match(self.text, self.at)
            if index is not None:
                self.at = index.end()
                steps.append(JsonStep(int(index.group()), as_text))
            else:
                steps.append(JsonStep(self.name("a key or index"), as_text))
        return Field(name, tuple(steps))

    def items(self) -> tuple[str, ...]:
        """`(a,"b,c",d)`: the items of a list; quotes count only around a whole item."""
        self.expect("(")
        found: list[str] = []
        if self.text.startswith(")", self.at):
            self.at += 1
            return ()
        while True:
            start = self.at
            if self.text.startswith('"', self.at):
                item = self.quoted()
                if self.at < len(self.text) and self.text[self.at] not in ",)":
                    self.at = start
                    item = self.until(",)")
            else:
                item = self.until(",)")
            found.append(item)
            if self.take(")"):
                return tuple(found)
            self.expect(",")

    def braced(self) -> str:
        """`{...}` with everything inside it, nested braces and quoted text included."""
        start = self.at
        depth = 0
        while True:
            self.until('"{}')
            if self.at == len(self.text):
                self.fail("a closing brace")
            if self.text[self.at] == '"':
                self.quoted()
                continue
            depth += 1 if self.text[self.at] == "{" else -1
            self.at += 1
            if depth == 0:
                return self.text[start : self.at]
