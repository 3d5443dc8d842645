"""What squawk says of db/migrations: a migration only adds, so that the release before still works beside the one after it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from core.process import run_tool
from edge.migrate import MIGRATIONS

# They run in one transaction, under a lock timeout that edge/migrate.py sets; an index on a large table is the
# operator's, made CONCURRENTLY before.
NOT_OURS = (
    "require-concurrent-index-creation,require-concurrent-index-deletion,require-lock-timeout,require-statement-timeout,"
    "prefer-robust-stmts,require-timeout-settings"
)


def squawk(*paths: Path) -> tuple[int, str]:
    """Its exit code and what it said."""
    done = run_tool(
        [
            Path(sys.executable).with_name("squawk"),
            "--assume-in-transaction",
            "--pg-version=15.0",
            f"--exclude={NOT_OURS}",
            "--reporter=gcc",
            *paths,
        ],
        timeout_s=120,
    )
    return done.returncode, done.stdout + done.stderr


def test_every_migration_only_adds() -> None:
    forwards = [path for path in sorted(MIGRATIONS.glob("*.sql")) if not path.name.endswith(".down.sql")]
    if forwards:
        code, said = squawk(*forwards)
        assert code == 0, said


@pytest.mark.rule("lms-099")
@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("ALTER TABLE contents DROP COLUMN title;", "ban-drop-column"),
        ("ALTER TABLE contents RENAME COLUMN title TO name;", "renaming-column"),
        ("ALTER TABLE contents RENAME TO titles;", "renaming-table"),
        ("DROP TABLE contents;", "ban-drop-table"),
        ("ALTER TABLE contents ALTER COLUMN title TYPE integer;", "changing-column-type"),
        ("ALTER TABLE contents ADD COLUMN shelf text NOT NULL;", "adding-required-field"),
        ("ALTER TABLE contents ALTER COLUMN title SET NOT NULL;", "adding-not-nullable-field"),
    ],
)
def test_what_would_break_the_release_before_is_found(tmp_path: Path, sql: str, rule: str) -> None:
    (tmp_path / "0001_breaks.sql").write_text(sql)
    code, said = squawk(tmp_path / "0001_breaks.sql")
    assert code == 1
    assert rule in said


def test_what_only_adds_is_not_complained_of(tmp_path: Path) -> None:
    (tmp_path / "0001_adds.sql").write_text(
        "ALTER TABLE contents ADD COLUMN shelf text; CREATE INDEX contents_shelf_idx ON contents (shelf);"
    )
    assert squawk(tmp_path / "0001_adds.sql")[0] == 0, squawk(tmp_path / "0001_adds.sql")[1]
