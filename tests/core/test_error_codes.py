"""docs/error-codes.md says what core/errors.py says."""

from __future__ import annotations

import re
from pathlib import Path

from core import errors

PAGE = Path(__file__).resolve().parents[2] / "docs" / "error-codes.md"


def rendered() -> str:
    """The page, from the codes and the family comments of core/errors.py."""
    source = Path(errors.__file__).read_text(encoding="utf-8")
    lines = [
        "# Error codes",
        "",
        "Every refusal carries one of these in `code`; a code is never reused.",
        "`python -m tests.core.test_error_codes` writes this page from `core/errors.py`.",
    ]
    for line in source.splitlines():
        if family := re.match(r"# (PS\dxx) (.+)$", line):
            lines += ["", f"## {family[1]}: {family[2]}", "", "| code | status | message | hint |", "|---|---|---|---|"]
        elif name := re.match(r"([A-Z_]+) = Code\(", line):
            code: errors.Code = getattr(errors, name[1])
            lines.append(f"| {code.code} | {code.status} | {code.message} | {code.hint or ''} |")
    return "\n".join(lines) + "\n"


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == rendered()


def test_a_code_is_used_once() -> None:
    codes = [value.code for value in vars(errors).values() if isinstance(value, errors.Code)]
    assert len(codes) == len(set(codes))
    assert all(f"| {code} |" in rendered() for code in codes)


if __name__ == "__main__":
    PAGE.write_text(rendered(), encoding="utf-8")
