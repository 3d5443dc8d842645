"""docs/rules.md says which test shows which rule of the requirement documents, and which of them the schema alone enforces.

`python -m tests.repo.test_rules_page` writes it again.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from core.settings import ROOT

PAGE = ROOT / "docs" / "rules.md"
TESTS = ROOT / "tests"
DOCUMENTS = ("edupeak", "infocus", "lms", "podcast", "streaming")
BY_THE_SCHEMA = tuple(
    f"tests/core/{name}.py"
    for name in (
        *("test_access", "test_cascades", "test_refusals", "test_refusals_of_learning", "test_schema", "test_sums"),
        *("test_tenants", "test_together"),
    )
)
"""Nothing but SQL is between these and the database."""
_RULE = re.compile(rf"\"((?:{'|'.join(DOCUMENTS)})-\d{{3}})\"")


def rules_of(path: Path) -> set[str]:
    """The rules that a file of tests names."""
    text = path.read_text(encoding="utf-8")
    return set(_RULE.findall(text)) if "rule" in text else set()


def told(rules: Iterable[str]) -> str:
    """Rules by document, neighbours as a range: `lms-001 to 004, 007`."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for rule in sorted(rules):
        document, _, number = rule.partition("-")
        numbers[document].append(int(number))
    return "; ".join(f"{document}-{', '.join(_ranges(found))}" for document, found in numbers.items())


def _ranges(numbers: list[int]) -> list[str]:
    runs = [[n for _, n in run] for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
    return [f"{run[0]:03}" if len(run) == 1 else f"{run[0]:03} to {run[-1]:03}" for run in runs]


def rendered() -> str:
    """The page, from the tests."""
    found = {
        str(path.relative_to(ROOT)): rules_of(path)
        for path in sorted(TESTS.rglob("test_*.py"))
        if "node_modules" not in path.parts
    }
    found = {name: rules for name, rules in found.items() if rules}
    by_schema = set[str]().union(*(found[name] for name in BY_THE_SCHEMA))
    lines = [
        "# Where each requirement rule is shown",
        "",
        f"{len(set().union(*found.values()))} rules of the five requirement documents are named by a test (`@pytest.mark.rule`).",
        "`python -m tests.repo.test_rules_page` writes this page.",
        "",
        f"## What the schema alone enforces: {len(by_schema)} rules",
        "",
        "Constraints, triggers, policies and views of `db/schema.sql`, tried with nothing but SQL in between.",
        "",
        *(f"- {told(rule for rule in by_schema if rule.startswith(document))}" for document in DOCUMENTS),
        "",
        "## By test",
        "",
        "| tests | what they show | rules |",
        "|---|---|---|",
    ]
    for name, rules in found.items():
        says = (ast.get_docstring(ast.parse((ROOT / name).read_text(encoding="utf-8"))) or "").partition("\n")[0]
        lines.append(f"| `{name}` | {says} | {told(rules)} |")
    return "\n".join(lines) + "\n"


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == rendered(), "python -m tests.repo.test_rules_page"


def test_neighbours_are_told_as_a_range() -> None:
    assert told(["lms-002", "lms-001", "lms-003", "lms-007", "podcast-010"]) == "lms-001 to 003, 007; podcast-010"


if __name__ == "__main__":
    PAGE.write_text(rendered(), encoding="utf-8")
