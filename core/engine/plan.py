"""From what was asked to what will be read: the request held against the schema, as a tree of nodes.

Decides which tables, columns and relations are meant, by a list of small passes that each give a fuller tree; refuses what
does not exist or does not fit, with a near match. Knows no SQL and no viewer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count as counter

from core.engine.clauses import Aggregate, Condition, Embed, Logic, Pick, Star
from core.engine.keyset import add_keyset
from core.engine.relations import find_relation
from core.engine.request import EVERYTHING, EmbedPath, ReadRequest
from core.engine.scanner import Field, refuse
from core.engine.schema import Column, Schema, TableInfo, near
from core.engine.tree import Exists, Group, Node, Output, Place, Planned, Sort, Test, check_operator
from core.errors import UNKNOWN_COLUMN, UNKNOWN_TABLE, Fault, Refusal

MAX_EMBEDS = 25
MAX_OUTPUTS = 250  # PostgreSQL's own limit is 1664


Pass = Callable[[Node, ReadRequest], Node]


def plan_read(request: ReadRequest, schema: Schema) -> Node:
    """The tree of what is to be read. Raises Refusal when the schema has no such thing."""
    table = find_table(schema, request.table)
    if "read" not in table.policy.verbs:
        raise _no_table(schema, request.table)
    numbers = counter()
    tree = _relate(Node(table, f"t{next(numbers)}", table.name, (), None, request.select), schema, numbers)
    _check_paths(tree, request)
    for build in PASSES:
        tree = _everywhere(tree, build, request)
    return tree


def find_table(schema: Schema, name: str) -> TableInfo:
    """The served table of that name. Raises Refusal UNKNOWN_TABLE."""
    table = schema.tables.get(name)
    if table is None:
        raise _no_table(schema, name)
    return table


def _no_table(schema: Schema, name: str) -> Refusal:
    return Refusal(UNKNOWN_TABLE, f"There is no table {name[:63]!r}.", hint=near(name, schema.tables))


def _everywhere(node: Node, build: Pass, request: ReadRequest) -> Node:
    """The tree with `build` applied to every node, children first."""
    if node.children:
        node = replace(node, children=tuple(_everywhere(child, build, request) for child in node.children))
    return build(node, request)


def _relate(node: Node, schema: Schema, numbers: Iterator[int]) -> Node:
    """Makes a child of every embed that was asked for."""
    children: list[Node] = []
    for item in node.asked:
        if not isinstance(item, Embed):
            continue
        relation = find_relation(schema, node.table.name, item.target, item.hint)
        if "read" not in schema.tables[relation.target].policy.verbs:
            refuse("select", f"{item.target} is not read here")
        if any(child.name == item.name for child in children):
            refuse("select", f"{item.name} is embedded twice", "Give one of them an alias: `other:table(...)`.")
        number = next(numbers)
        if number > MAX_EMBEDS:
            refuse("select", f"there may be {MAX_EMBEDS} embeds at most")
        target, path = schema.tables[relation.target], (*node.path, item.name)
        child = Node(target, f"t{number}", item.name, path, relation, item.select, item.join == "inner", item.spread)
        children.append(_relate(child, schema, numbers))
    return replace(node, children=tuple(children))


def _check_paths(tree: Node, request: ReadRequest) -> None:
    """Refuses a filter, order or window on an embed that the select does not have."""
    known = _paths(tree)
    for path in (*(path for path, _ in request.conditions), *request.orders, *request.windows):
        if path not in known:
            name = ".".join(path)
            why = "is not an embedded resource in this request"
            refuse(name, why, f"Verify that {name} is included in the 'select' query parameter.")


def _paths(node: Node) -> list[EmbedPath]:
    return [node.path, *(path for child in node.children for path in _paths(child))]


def add_outputs(node: Node, _: ReadRequest) -> Node:
    """Names the columns of every row; what is asked for twice in the same way is given once."""
    outputs: dict[str, Output] = {}
    taken = [key for child in node.children for key in _keys(child)]
    if len(set(taken)) < len(taken):
        refuse("select", "two embeds give the same key", "Give one of them an alias.")
    for item in node.asked:
        if isinstance(item, Embed):
            continue
        for output in _outputs(node, item):
            if outputs.setdefault(output.name, output) != output or output.name in taken:
                refuse("select", f"two parts are called {output.name}", "Give one of them an alias: `other:column`.")
    if len(outputs) + len(taken) > MAX_OUTPUTS:
        refuse("select", f"a row may have {MAX_OUTPUTS} keys at most")
    node = replace(node, outputs=tuple(outputs.values()))
    if node.is_grouped and taken:
        refuse("select", "embeds and aggregates do not stand in one select", "Filter by an embed with `table!inner()`.")
    return node


def _outputs(node: Node, item: Star | Pick | Aggregate) -> list[Output]:
    if isinstance(item, Star):
        return [Output(name, Place(column, ()), None) for name, column in node.table.columns.items()]
    if isinstance(item, Aggregate):
        place = None if item.field is None else _place(node, item.field, "select")
        return [Output(item.alias or item.function, place, item.cast, item.function, item.result_cast)]
    if len(node.asked) == 1 and item.field == Field("count") and "count" not in node.table.columns:
        # PostgREST's older way to ask for count().
        return [Output(item.alias or "count", None, None, "count")]
    return [Output(item.alias or _last_key(item.field), _place(node, item.field, "select"), item.cast)]


def _keys(child: Node) -> list[str]:
    """The keys that an embed adds to its parent's rows; none when nothing of it was selected."""
    if child.is_spread:
        if child.is_grouped:
            refuse("select", f"{child.name} cannot be summed and spread")
        return [output.name for output in child.outputs] + [key for inner in child.children for key in _keys(inner)]
    return [child.name] if child.asked else []


def _last_key(field: Field) -> str:
    keys = [step.key for step in field.path if isinstance(step.key, str)]
    return keys[-1] if keys else field.name


def add_conditions(node: Node, request: ReadRequest) -> Node:
    """Holds every filter against the column it names."""
    return replace(node, where=tuple(_planned(node, c) for path, c in request.conditions if path == node.path))


def _planned(node: Node, condition: Condition) -> Planned:
    if isinstance(condition, Logic):
        return Group(condition.kind, condition.negated, tuple(_planned(node, member) for member in condition.members))
    name = condition.field.name
    if name not in node.table.columns and not condition.field.path and condition.operator == "is":
        child = next((child for child in node.children if child.name == name), None)
        if child is not None:
            value = condition.values[0].lower()
            if value not in ("null", "not_null"):
                refuse(condition.parameter, "an embed is null or not.null")
            return Exists(child.alias, (value == "null") != condition.negated)
    place = _place(node, condition.field, condition.parameter)
    check_operator(place, condition)
    return Test(place, condition)


def add_order(node: Node, request: ReadRequest) -> Node:
    """Resolves the columns to sort by."""
    terms = []
    for term in request.orders.get(node.path, ()):
        owner, embed = node, None
        if term.embed is not None:
            found = next((child for child in node.children if child.name == term.embed), None)
            if found is None:
                refuse(term.parameter, f"{term.embed} is not embedded", f"Add {term.embed}() to select.")
            if not found.to_one:
                why = f"{term.embed} has many rows for each of {node.name}"
                refuse(term.parameter, why, "Only a to-one embed can order.")
            owner, embed = found, found.alias
        terms.append(Sort(_place(owner, term.field, term.parameter), embed, term.descending, term.nulls))
    groups = [output.place for output in node.outputs if output.aggregate is None and output.cast is None]
    if node.is_grouped and any(term.embed or term.place not in groups for term in terms):
        refuse("order", "sorts sums by what they are grouped by alone")
    return replace(node, order=tuple(terms))


def add_window(node: Node, request: ReadRequest) -> Node:
    """Which rows."""
    return replace(node, window=request.windows.get(node.path, EVERYTHING))


def find_column(table: TableInfo, name: str, parameter: str) -> Column:
    """The visible column of that name. Raises Refusal UNKNOWN_COLUMN."""
    column = table.columns.get(name)
    if column is None:
        why, parameter = f"{table.name} has no column {name[:63]!r}", parameter[:100]
        hint = near(name, table.columns)
        raise Refusal(UNKNOWN_COLUMN, f"{parameter}: {why}.", hint=hint, faults=(Fault(parameter, why),))
    return column


def _place(node: Node, field: Field, parameter: str) -> Place:
    column = find_column(node.table, field.name, parameter)
    if field.path and column.type not in ("json", "jsonb"):
        refuse(parameter, f"{column.name} is {column.type}, not JSON")
    return Place(column, field.path)


PASSES: tuple[Pass, ...] = (add_outputs, add_conditions, add_order, add_window, add_keyset)
