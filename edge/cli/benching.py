"""`penstock bench`: a benchmark is a module of bench/ with a `main(argv) -> exit code`; its docstring's first line says what it measures."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table

from core.settings import ROOT

BENCH = ROOT / "bench"


def run_bench(name: str | None, args: list[str]) -> int:
    """Runs one benchmark, or lists them; its exit code, 2 for an unknown name."""
    console = Console(stderr=True)
    known = benchmarks(BENCH)
    if name is None:
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for found, purpose in known.items():
            table.add_row(f"[bold]{found}", purpose)
        console.print("./penstock bench NAME [OPTIONS]; NAME -- --help shows the options of one.")
        console.print(table)
        return 0
    if name not in known:
        console.print(f"There is no benchmark {name!r}; there are: {', '.join(known) or 'none'}.", markup=False)
        return 2
    return int(import_module(f"bench.{name}").main(args))


def benchmarks(folder: Path) -> dict[str, str]:
    """Name and purpose of each, read without importing: some need packages that take seconds to load."""
    found = {}
    for path in sorted(folder.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            found[path.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found
