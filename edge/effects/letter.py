"""What a message says: a template with `{{ variables }}`, filled in as text and as HTML. Pure.

The grammar is closed: a name in double braces is replaced, everything else stands for itself. Staff of a tenant write templates,
so nothing in one can compute, loop or reach an object.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

_VARIABLE = re.compile(r"\{\{\s*([a-z][a-z0-9_]{0,62})\s*\}\}")
_LINK_LINE = re.compile(r"^\{\{\s*link\s*\}\}$")
_PAGE = (
    '<!doctype html><html><head><meta charset="utf-8"></head><body style="font-family:sans-serif;line-height:1.5;'
    'max-width:36em;margin:2em auto;padding:0 1em">{}</body></html>\n'
)


class VariableMissing(Exception):  # noqa: N818 - states the fact
    """The template names a variable that nobody gave; the argument is its name."""


@dataclass(frozen=True, slots=True)
class Template:
    """`html` None: made from the text."""

    subject: str
    body: str
    html: str | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """A message without its addresses."""

    subject: str
    text: str
    html: str


def write_letter(template: Template, variables: Mapping[str, str]) -> Letter:
    """`template` with its variables filled in; in HTML what is put in is escaped. Raises VariableMissing."""
    subject = " ".join(_fill(template.subject, variables).split())
    escaped = {name: escape(value) for name, value in variables.items()}
    html = _html_of(template.body, escaped) if template.html is None else _fill(template.html, escaped)
    return Letter(subject, _fill(template.body, variables), html)


def _fill(text: str, variables: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        if found[1] not in variables:
            raise VariableMissing(found[1])
        return variables[found[1]]

    return _VARIABLE.sub(value, text)


def _html_of(body: str, escaped: Mapping[str, str]) -> str:
    """Paragraphs of a text. Only a line that is `{{ link }}` becomes a link: a name that looks like one stays text."""
    paragraphs = []
    for block in re.split(r"\n\s*\n", body.strip()):
        lines = []
        for line in block.splitlines():
            filled = _fill(escape(line), escaped)
            if _LINK_LINE.match(line.strip()) and filled.strip().startswith(("https://", "http://")):
                filled = f'<a href="{filled.strip()}">{filled.strip()}</a>'
            lines.append(filled)
        paragraphs.append(f"<p>{'<br>'.join(lines)}</p>")
    return _PAGE.format("".join(paragraphs))
