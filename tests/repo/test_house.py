"""The rules of the house, as far as a program can see them. Each test names what to do about a finding."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import asyncpg
import pytest

from core import errors
from core.database import dedicated
from core.queries import load
from core.settings import ROOT
from tests.conftest import TestDatabase

PACKAGES = ("core", "edge", "transcoder", "bench")
MOST_CODE_LINES = 300
MOST_ENGINE_LINES = 3_000
# Files allowed to be longer, and why.
LONGER: dict[str, str] = {}

# What may be imported by one module only; annotations (`if TYPE_CHECKING`) count too.
KEEPERS = {
    # And the peer that is written by hand.
    "asyncpg": {"core/connections.py", "core/database.py", "core/opening.py", "bench/api_plain.py"},
    "redis": {"edge/redis_client/"},
    "obstore": {"core/objects.py"},
    "subprocess": {"core/process.py"},
    "asyncio.subprocess": {"core/process.py"},
    "aiohttp": {"edge/", "bench/"},
    "pgqueuer": {"core/domain/media_dispatch.py"},
    "stripe": {"edge/api/stripe_gateway.py"},
}
# `subprocess` gives two names that callers of core/process.py need: what they get back, and what they are told.
RESULT_NAMES = {"Popen", "CompletedProcess", "TimeoutExpired"}


def files(*suffixes: str) -> list[Path]:
    """Every file of the repository with one of these suffixes: tracked, or new and not ignored."""
    git = shutil.which("git")
    listed = git and subprocess.run(
        [git, "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed and listed.returncode == 0:
        found = [ROOT / line for line in listed.stdout.splitlines()]
    else:
        # A copy without git, or a machine without it: everything but what the build makes.
        made = {".venv", ".git", ".penstock", ".node", "node_modules", "dist", "results", ".hypothesis", "__pycache__"}
        found = [
            path
            for path in ROOT.rglob("*")
            if not any(part in made or part.endswith("_cache") for part in path.relative_to(ROOT).parts)
        ]
    return sorted(path for path in found if path.is_file() and (not suffixes or path.suffix in suffixes))


def product() -> list[Path]:
    """The product's own Python."""
    return [path for path in files(".py") if path.relative_to(ROOT).parts[0] in PACKAGES]


def shown(path: Path) -> str:
    """A path as a person names it."""
    return path.relative_to(ROOT).as_posix()


def code_lines(text: str) -> int:
    """Lines that are neither blank, nor comments, nor docstrings."""
    skipped: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        # A string that stands alone says what is above it: a module, a function, a class or one of its fields.
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            skipped.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(
        1 for number, line in lines if number not in skipped and line.strip() and not line.strip().startswith("#")
    )


def test_files_are_short() -> None:
    """Split it by what changes together, or name it in LONGER with the reason."""
    long = {shown(path): n for path in product() if (n := code_lines(path.read_text())) > MOST_CODE_LINES}
    assert set(long) == set(LONGER), long


def test_the_engine_is_compact() -> None:
    """Core without its contexts. Say a thing once, or move what only one package uses to where it is used."""
    engine = {shown(path): code_lines(path.read_text()) for path in product() if is_engine(shown(path))}
    assert "core/engine/render.py" in engine
    assert sum(engine.values()) <= MOST_ENGINE_LINES, sorted(engine.items(), key=lambda file: -file[1])


def is_engine(name: str) -> bool:
    """Whether a file belongs to the domain engine itself."""
    return name.startswith("core/") and not name.startswith("core/domain/")


def test_every_module_says_what_it_is() -> None:
    silent = [
        shown(path)
        for path in product()
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def imports(path: Path) -> Iterator[tuple[str, set[str]]]:
    """Modules imported by a file, with the names taken from each or used of it."""
    tree = ast.parse(path.read_text())
    used: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            used.setdefault(node.value.id, set()).add(node.attr)
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Attribute)
            and node.value.attr == "subprocess"
        ):
            used.setdefault("asyncio.subprocess", set()).add(node.attr)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, used.get(alias.asname or alias.name, set())
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, {alias.name for alias in node.names}
    if "asyncio.subprocess" in used:
        yield "asyncio.subprocess", used["asyncio.subprocess"]
    if used.get("asyncio", set()) & {"create_subprocess_exec", "create_subprocess_shell"}:
        yield "asyncio.subprocess", {"Process"}


def test_each_outside_thing_has_one_keeper() -> None:
    """Ask the keeper for what you need, and let it grow a function."""
    found = []
    for path in product():
        for module, names in imports(path):
            keepers = KEEPERS.get(module) or KEEPERS.get(module.partition(".")[0])
            if keepers is None or any(shown(path).startswith(keeper) for keeper in keepers):
                continue
            if module == "subprocess" and names <= RESULT_NAMES:
                continue
            found.append(f"{shown(path)} imports {module} ({', '.join(sorted(names))})")
    assert found == []


def test_import_contracts_hold() -> None:
    """The arrows of the architecture; `lint-imports` explains a broken one."""
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def query_files() -> list[Path]:
    """The SQL files that core.queries loads."""
    return [path for path in files(".sql") if path.relative_to(ROOT).parts[0] in PACKAGES]


def test_there_are_query_files() -> None:
    assert len(query_files()) > 3


def test_every_statement_is_used() -> None:
    """A statement that nobody names is dead: remove it."""
    python = "\n".join(path.read_text() for path in product())
    unused = []
    for path in query_files():
        statements = load(".".join(path.relative_to(ROOT).parent.parts), path.name)
        unused += [f"{shown(path)}: {name}" for name in statements if f'"{name}"' not in python]
    assert unused == []


@pytest.mark.parametrize("path", query_files(), ids=shown)
async def test_every_statement_fits_the_schema(shared_database: TestDatabase, path: Path) -> None:
    """PREPARE checks names and types against the real schema, as the role that will run it."""
    connection = await dedicated(shared_database.app_url)
    wrong = []
    try:
        for name, statement in load(".".join(path.relative_to(ROOT).parent.parts), path.name).items():
            try:
                await connection.prepare(statement.sql)
            except asyncpg.PostgresError as error:
                wrong.append(f"{name}: {error}")
    finally:
        await connection.close()
    assert wrong == []


def test_error_codes_are_unique_and_never_come_back() -> None:
    """A retired code stays in core/errors.py as a comment, so that nobody gives it a second meaning."""
    codes = [value for value in vars(errors).values() if isinstance(value, errors.Code)]
    assert [code for code, count in Counter(code.code for code in codes).items() if count > 1] == []
    for code in codes:
        assert re.fullmatch(r"PS[1-9]\d\d", code.code), code
        assert 300 <= code.status <= 599, code
        assert code.message.endswith("."), code
    retired = re.findall(r"^#\s*(PS\d{3})\b", (ROOT / "core" / "errors.py").read_text(), re.M)
    assert not set(retired) & {code.code for code in codes}


def test_nothing_names_this_machine_or_is_left_for_later() -> None:
    own = "tests/repo/test_house.py"
    patterns = {
        "a path of somebody's machine": re.compile(r"/(?:home/\w+|Users/\w+|work/(?:main|shared)|tmp/proto)\b"),
        "work left for later": re.compile(r"\b(?:TO" r"DO|FIX" r"ME|X{3}|HA" r"CK)\b(?!\+)"),
    }
    found = []
    for path in files(".py", ".sql", ".md", ".ts", ".svelte", ".toml", ".json", ".sh", ".mjs", ".yml", ""):
        if shown(path) == own or "lock" in path.name:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for what, pattern in patterns.items():
            found += [f"{shown(path)}: {what}: {match.group(0)}" for match in pattern.finditer(text)]
    assert found == []


def test_rules_are_named_as_the_requirements_name_them() -> None:
    """`@pytest.mark.rule("streaming-012")`: a document and three digits."""
    named = [
        (shown(path), rule)
        for path in files(".py")
        if path.is_relative_to(ROOT / "tests")
        for rule in re.findall(r"mark\.rule\(\"([^\"]*)\"", path.read_text())
    ]
    assert [pair for pair in named if not re.fullmatch(r"[a-z]+(?:-[a-z]+)*-\d{3}", pair[1])] == []


def test_locks_pin_everything_and_name_no_host() -> None:
    for path in ROOT.glob("requirements*.lock"):
        text = path.read_text()
        assert "://" not in text, path.name
        pinned = re.findall(r"^[A-Za-z0-9._-]+(?:\[[^\]]*\])?==", text, re.M)
        assert len(pinned) > 0
        assert len(re.findall(r"^[^#\s-].*", text, re.M)) == len(pinned), f"{path.name} has a line without =="
        assert text.count("--hash=sha256:") >= len(pinned), path.name
    for path in (ROOT / "web" / "package-lock.json", ROOT / "tests" / "package-lock.json"):
        for name, package in json.loads(path.read_text())["packages"].items():
            assert "resolved" not in package, f"{shown(path)}: {name}"
            assert not name or package.get("link") or package["integrity"].startswith("sha512-"), name


def test_the_papers_are_there() -> None:
    for name in ("README.md", "CHANGELOG.md", "LICENSE", "docs/http-api.md"):
        assert (ROOT / name).is_file(), name
    version = re.search(r'^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text(), re.M)
    assert version is not None
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert version.group(1) in changes or "## Unreleased" in changes


def test_every_error_code_is_explained() -> None:
    page = ROOT / "docs" / "error-codes.md"
    codes = {value.code for value in vars(errors).values() if isinstance(value, errors.Code)}
    assert codes - set(re.findall(r"PS\d{3}", page.read_text())) == set()


_IMPORT_ALL = """
import builtins, importlib, sys
import_ = builtins.__import__
ours = {name.partition(".")[0] for name in sys.argv[1:]}

def is_under_way(name):
    return name.partition(".")[0] in ours and getattr(getattr(sys.modules.get(name), "__spec__", None), "_initializing", False)

def watching(name, globals=None, locals=None, fromlist=(), level=0):
    found = import_(name, globals, locals, fromlist, level)
    name = found.__name__ if fromlist else name
    # A submodule is asked for itself, whatever its package has come to by then.
    wanted = {f"{name}.{part}" if f"{name}.{part}" in sys.modules else name for part in fromlist or ("",)}
    for other in filter(is_under_way, sorted(wanted)):
        print(f"{(globals or {}).get('__name__')} needs {other}, by which it is imported", flush=True)
    return found

builtins.__import__ = watching
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except BaseException as error:
        print(f"{name}: {type(error).__name__}: {error}", flush=True)
"""


def import_all(folder: Path, names: Iterable[str]) -> str:
    """What goes wrong when these modules are imported one after the other, one line each: failures, and the cycles among them."""
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT_ALL, *names],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    return done.stdout + done.stderr


def test_every_module_can_be_imported_alone() -> None:
    """A cycle hides until somebody imports the other end first. Without one each module finds the others whole, whoever is the first."""
    names = []
    for path in product():
        if path.name in ("__main__.py", "locustfile.py") or path.parent.name == "bench":
            continue
        parts = path.relative_to(ROOT).with_suffix("").parts
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    assert len(names) > 200
    assert import_all(ROOT, names) == ""


@pytest.mark.parametrize(
    ("end", "other", "is_cycle"),
    [
        # `whole.begin` works as long as nobody begins with `whole.end`.
        ("from whole.begin import FIRST", "FIRST = 1\nimport whole.end", True),
        ("import whole.begin\ndef late(): return whole.begin", "from whole import end", True),
        ("from whole import begin", "def late():\n    import whole.end\nlate()", True),
        ("from whole import NAME", "from . import end", False),
        ("from .begin import FIRST", "FIRST = 1\ndef late():\n    import whole.end", False),
    ],
)
def test_a_cycle_is_seen_from_either_end(tmp_path: Path, end: str, other: str, is_cycle: bool) -> None:
    package = tmp_path / "whole"
    package.mkdir()
    for name, text in (("__init__", "NAME = 1"), ("end", end), ("begin", other)):
        (package / f"{name}.py").write_text(text)
    for first in (("whole.begin", "whole.end"), ("whole.end", "whole.begin")):
        assert ("by which it is imported" in import_all(tmp_path, first)) == is_cycle


def test_a_module_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    (tmp_path / "lost.py").write_text("import nowhere_to_be_found")
    assert import_all(tmp_path, ["lost"]).startswith("lost: ModuleNotFoundError")
