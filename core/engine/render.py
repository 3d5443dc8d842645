"""From a plan to one SQL statement and its arguments; it cannot fail.

Decides the text only: it depends on the shape of the request, never on a value, so a prepared statement serves every
request of that shape. Values are parameters, sent as text and cast by the server: a bad one is the server's DataError.
Sees plans only: no request, no viewer.
"""

# ruff: noqa: S608 - what is interpolated are fragments of this module, names it quoted and numbers of parameters

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.database import FIRST_READ_PARAMETER
from core.engine.clauses import IS_VALUES, Filter
from core.engine.prefer import Count
from core.engine.request import MAX_ROWS, Format, Window
from core.engine.tree import Exists, Group, Node, Output, Place, Planned, Sort

_OPERATORS = {
    "eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "isdistinct": "IS DISTINCT FROM",
    "like": "LIKE", "ilike": "ILIKE", "match": "~", "imatch": "~*", "cs": "@>", "cd": "<@", "ov": "&&",
    "sl": "<<", "sr": ">>", "nxr": "&<", "nxl": "&>", "adj": "-|-",
}  # fmt: skip
_SEARCHES = {
    "fts": "to_tsquery", "plfts": "plainto_tsquery", "phfts": "phraseto_tsquery", "wfts": "websearch_to_tsquery",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sql:
    """A statement and its arguments. A read gives one row: body (UTF-8), row_count, total (null if not counted)."""

    text: str
    arguments: tuple[object, ...]


def quote(name: str) -> str:
    """An identifier as SQL."""
    return '"' + name.replace('"', '""') + '"'


class Arguments:
    """Values in the order of their parameters."""

    def __init__(self, first: int = FIRST_READ_PARAMETER) -> None:
        self.values: list[object] = []
        self._first = first

    def text(self, value: str, type_: str = "text") -> str:
        """A parameter that is sent as text and read as `type_`; its place in the statement, as the next two."""
        self.values.append(value)
        return self._cast("text", type_)

    def texts(self, values: Sequence[str], type_: str) -> str:
        """Several, as an array of `type_`."""
        self.values.append(list(values))
        return self._cast("text[]", f"{type_}[]")

    def integer(self, value: int) -> str:
        """A number of rows."""
        self.values.append(value)
        return self._cast("bigint", "bigint")

    def of(self, statement: str) -> Sql:
        """The statement whose parameters these are."""
        return Sql(statement, tuple(self.values))

    def _cast(self, sent: str, type_: str) -> str:
        parameter = f"${len(self.values) + self._first - 1}::{sent}"
        return parameter if type_ == sent else f"{parameter}::{type_}"


def render_read(tree: Node, format_: Format, count: Count | None, *, strip_nulls: bool = False) -> Sql:
    """The statement that reads `tree` and gives its body in `format_`."""
    arguments = Arguments()
    where = _where(tree, arguments)
    if tree.keyset is not None:
        return _render_keyset(tree, arguments, where, count, strip_nulls)
    rows = _rows(tree, arguments, where)
    return arguments.of(
        f"SELECT {_body(tree, format_, strip_nulls)} AS body, count(*) AS row_count, {_total(tree, where, count)} AS total"
        f" FROM ({rows}) AS e"
    )


def _render_keyset(tree: Node, arguments: Arguments, where: str, count: Count | None, strip_nulls: bool) -> Sql:
    """As any read, with `last`: the sort values of the last row, as a JSON array of texts and nulls."""
    beyond = _beyond(tree, arguments)
    page = _page(tree, arguments, f"{where} {'AND' if where else 'WHERE'} {beyond}" if beyond else where)
    outputs = ", ".join(f"{expression} AS {quote(name)}" for name, expression in _columns(tree, arguments))
    keys = ", ".join(f"{_place(tree.alias, term.place, arguments)}::text" for term in tree.order)
    row = "json_strip_nulls(e.row)" if strip_nulls else "e.row"
    return arguments.of(
        f"SELECT convert_to(coalesce(json_agg({row})::text, '[]'), 'UTF8') AS body, count(*) AS row_count,"
        f" {_total(tree, where, count)} AS total, (array_agg(e.key))[count(*)::int] AS last"
        f" FROM (SELECT row_to_json(o.*) AS row, json_build_array({keys})::text AS key FROM ({page}) AS {tree.alias}"
        f" CROSS JOIN LATERAL (SELECT {outputs}) AS o) AS e"
    )


def _beyond(tree: Node, arguments: Arguments) -> str | None:
    """Whether a row comes after the last one that was given, in the order of `tree`."""
    after = tree.keyset.after if tree.keyset else None
    if after is None:
        return None
    terms = [
        (term, _place(tree.alias, term.place, arguments), value) for term, value in zip(tree.order, after, strict=True)
    ]
    if len({term.descending for term in tree.order}) == 1 and not any(term.place.nullable for term in tree.order):
        # One comparison of rows, which an index on these columns answers.
        sign = "<" if tree.order[0].descending else ">"
        values = ", ".join(arguments.text(value or "", term.place.type) for term, _, value in terms)
        return f"({', '.join(left for _, left, _ in terms)}) {sign} ({values})"
    ways = []
    for at, (term, left, value) in enumerate(terms):
        same = [
            f"{other} IS NULL" if equal is None else f"{other} = {arguments.text(equal, earlier.place.type)}"
            for earlier, other, equal in terms[:at]
        ]
        ways.append(" AND ".join([*same, _later(term, left, value, arguments)]))
    return f"({' OR '.join(f'({way})' for way in ways)})"


def _later(term: Sort, left: str, value: str | None, arguments: Arguments) -> str:
    nulls_last = term.nulls == "last" if term.nulls else not term.descending
    if value is None:
        return "FALSE" if nulls_last else f"{left} IS NOT NULL"
    later = f"{left} {'<' if term.descending else '>'} {arguments.text(value, term.place.type)}"
    return f"({later} OR {left} IS NULL)" if nulls_last and term.place.nullable else later


def render_matches(tree: Node) -> Sql:
    """The rows that match, without their columns: to ask the planner how many there are."""
    arguments = Arguments()
    return arguments.of(f"SELECT FROM {quote(tree.table.name)} AS {tree.alias}{_where(tree, arguments)}")


def render_rows(tree: Node, format_: Format, strip_nulls: bool, arguments: Arguments) -> tuple[str, str]:
    """The body of `tree` as an expression, and the rows it is taken from, to be called e."""
    return _body(tree, format_, strip_nulls), _rows(tree, arguments, _where(tree, arguments))


def render_conditions(node: Node, arguments: Arguments) -> str:
    """The conditions on a node's own table as a WHERE clause; nothing of embeds that must have rows."""
    terms = [_condition(node, condition, arguments) for condition in node.where]
    return f" WHERE {' AND '.join(terms)}" if terms else ""


def _body(tree: Node, format_: Format, strip_nulls: bool) -> str:
    row = "json_strip_nulls(row_to_json(e.*))" if strip_nulls else "row_to_json(e.*)"
    match format_:
        case "array":
            body = f"coalesce(json_agg({row if strip_nulls else 'e.*'})::text, '[]')"
        case "object":
            body = f"coalesce(string_agg({row}::text, ''), '')"
        case "csv":
            body = _csv(tree)
    return f"convert_to({body}, 'UTF8')"


def _csv(tree: Node) -> str:
    """RFC 4180: a header, then rows whose every value is quoted; a null is empty."""
    names = [name for name, _ in _columns(tree, Arguments())]
    header = ",".join(
        f'"{name}"' if not name.isidentifier() else name for name in (n.replace('"', '""') for n in names)
    )
    cells = [f"""coalesce('"' || replace(e.{quote(name)}::text, '"', '""') || '"', '')""" for name in names]
    line = " || ',' || ".join(cells) or "''"
    literal = "'" + header.replace("'", "''") + "'"
    return f"{literal} || coalesce(E'\\r\\n' || string_agg({line}, E'\\r\\n'), '') || E'\\r\\n'"


def _total(tree: Node, where: str, count: Count | None) -> str:
    """The count of everything that matches; an estimate counts one page and leaves the rest to the planner."""
    matches = f"FROM {quote(tree.table.name)} AS {tree.alias}{where}"
    match count:
        case "exact":
            return f"(SELECT count(*) {matches})"
        case "estimated":
            return f"(SELECT count(*) FROM (SELECT {matches} LIMIT {MAX_ROWS + 1}) AS matches)"
        case _:
            return "NULL::bigint"


def _rows(node: Node, arguments: Arguments, where: str) -> str:
    """The page of a node with its outputs. The page is cut first: embeds are read for its rows only, in its order."""
    outputs = ", ".join(f"{expression} AS {quote(name)}" for name, expression in _columns(node, arguments))
    if node.is_grouped:
        return _cut(f"SELECT {outputs} FROM {_tables(node)}{where}{_groups(node)}", node.alias, node.window, arguments)
    return f"SELECT {outputs} FROM ({_page(node, arguments, where)}) AS {node.alias}"


def _groups(node: Node) -> str:
    """By the numbers of the outputs: the steps into JSON are parameters, and no two of those are the same to PostgreSQL."""
    groups = [(str(number), output) for number, output in enumerate(node.outputs, 1) if output.aggregate is None]
    by_place = {output.place: number for number, output in groups if output.cast is None}
    order = ", ".join(by_place[term.place] + _direction(term) for term in node.order)
    grouping = ", ".join(number for number, _ in groups)
    return (f" GROUP BY {grouping}" if grouping else "") + (f" ORDER BY {order}" if order else "")


def _tables(node: Node) -> str:
    tables = f"{quote(node.source or node.table.name)} AS {node.alias}"
    if node.relation is not None and node.relation.junction is not None:
        return f"{quote(node.relation.junction)} AS j{node.alias}, {tables}"
    return tables


def _page(node: Node, arguments: Arguments, where: str) -> str:
    page = f"SELECT {node.alias}.* FROM {_tables(node)}{where}{_order(node, arguments)}"
    return page if node.to_one else _cut(page, node.alias, node.window, arguments)


def _cut(page: str, alias: str, window: Window, arguments: Arguments) -> str:
    """The rows of a window. Its size is a parameter, but the planner is told the next power of two above its end.

    Without that it reckons with a tenth of the table, finds a generic plan dear and plans anew each time: a list of 20
    contents with genres ran 982 times a second instead of 3078.
    """
    if window.limit is None and not window.offset:
        return f"{page} LIMIT {MAX_ROWS}"
    size = MAX_ROWS if window.limit is None else min(window.limit, MAX_ROWS)
    bound = 1 << (window.offset + size).bit_length()
    limit = f" LIMIT {arguments.integer(size)}"
    offset = f" OFFSET {arguments.integer(window.offset)}" if window.offset else ""
    return f"SELECT {alias}.* FROM ({page} LIMIT {bound}) AS {alias}{limit}{offset}"


def _columns(node: Node, arguments: Arguments) -> list[tuple[str, str]]:
    """The keys of a node's rows, each with its expression."""
    columns = [(output.name, _output(node, output, arguments)) for output in node.outputs]
    for child in node.children:
        if child.is_spread:
            for name, expression in _columns(child, arguments):
                whole = expression if child.to_one else f"coalesce(json_agg({expression}), '[]'::json)"
                page = _child_page(node, child, arguments)
                columns.append((name, f"(SELECT {whole} FROM ({page}) AS {child.alias})"))
        elif child.asked:
            rows = _rows(child, arguments, _child_where(node, child, arguments))
            whole = "row_to_json(e.*)" if child.to_one else "coalesce(json_agg(e.*), '[]'::json)"
            columns.append((child.name, f"(SELECT {whole} FROM ({rows}) AS e)"))
    return columns


def _output(node: Node, output: Output, arguments: Arguments) -> str:
    expression = "*" if output.place is None else _place(node.alias, output.place, arguments)
    if output.cast:
        expression = f"({expression})::{output.cast}"
    if output.aggregate:
        expression = f"{output.aggregate}({expression})"
    return f"({expression})::{output.result_cast}" if output.result_cast else expression


def _place(alias: str, place: Place, arguments: Arguments) -> str:
    expression = f"{alias}.{quote(place.column.name)}"
    for step in place.path:
        arrow = "->>" if step.as_text else "->"
        key = arguments.text(step.key) if isinstance(step.key, str) else f"({step.key})"
        expression = f"({expression} {arrow} {key})"
    return expression


def _child_page(parent: Node, child: Node, arguments: Arguments) -> str:
    return _page(child, arguments, _child_where(parent, child, arguments))


def _child_where(parent: Node, child: Node, arguments: Arguments) -> str:
    relation = child.relation
    assert relation is not None, "only the root has no relation"
    near = f"j{child.alias}" if relation.junction else child.alias
    joins = [f"{near}.{quote(there)} = {parent.alias}.{quote(here)}" for here, there in relation.pairs]
    joins += [f"{child.alias}.{quote(there)} = {near}.{quote(here)}" for here, there in relation.junction_pairs]
    return _where(child, arguments, joins)


def _where(node: Node, arguments: Arguments, joins: Sequence[str] = ()) -> str:
    terms = [*joins, *(_condition(node, condition, arguments) for condition in node.where)]
    terms += [_exists(node, child, arguments) for child in node.children if child.is_inner]
    return f" WHERE {' AND '.join(terms)}" if terms else ""


def _exists(parent: Node, child: Node, arguments: Arguments) -> str:
    return f"EXISTS (SELECT FROM {_tables(child)}{_child_where(parent, child, arguments)})"


def _condition(node: Node, condition: Planned, arguments: Arguments) -> str:
    if isinstance(condition, Group):
        word = f" {condition.kind.upper()} "
        text = f"({word.join(_condition(node, member, arguments) for member in condition.members)})"
        return f"NOT {text}" if condition.negated else text
    if isinstance(condition, Exists):
        child = next(child for child in node.children if child.alias == condition.alias)
        text = _exists(node, child, arguments)
        return f"NOT {text}" if condition.negated else text
    text = _test(_place(node.alias, condition.place, arguments), condition.place, condition.filter, arguments)
    return f"NOT ({text})" if condition.filter.negated else text


def _test(left: str, place: Place, filter_: Filter, arguments: Arguments) -> str:
    operator, value = filter_.operator, filter_.values[0] if filter_.values else ""
    type_ = place.type
    if place.path and type_ == "jsonb" and place.column.type == "json":
        left = f"{left}::jsonb"
    if operator == "is":
        return f"{left} IS {IS_VALUES[value.lower()]}"
    if operator == "in":
        return f"{left} = ANY ({arguments.texts(filter_.values, type_)})"
    if operator in _SEARCHES:
        language = f"{arguments.text(filter_.language)}::regconfig, " if filter_.language else ""
        document = left if type_ == "tsvector" else f"to_tsvector({language}{left})"
        return f"{document} @@ {_SEARCHES[operator]}({language}{arguments.text(value)})"
    if operator in ("like", "ilike"):
        value = value.replace("*", "%")
    if filter_.quantifier is not None:
        return f"{left} {_OPERATORS[operator]} {filter_.quantifier.upper()} ({arguments.text(value, f'{type_}[]')})"
    return f"{left} {_OPERATORS[operator]} {arguments.text(value, type_)}"


def _order(node: Node, arguments: Arguments) -> str:
    terms = [_sort(node, term, arguments) for term in node.order]
    return f" ORDER BY {', '.join(terms)}" if terms else ""


def _sort(node: Node, term: Sort, arguments: Arguments) -> str:
    if term.embed is None:
        expression = _place(node.alias, term.place, arguments)
    else:
        child = next(child for child in node.children if child.alias == term.embed)
        page = _child_page(node, child, arguments)
        expression = f"(SELECT {_place(child.alias, term.place, arguments)} FROM ({page}) AS {child.alias})"
    return expression + _direction(term)


def _direction(term: Sort) -> str:
    return (" DESC" if term.descending else "") + (f" NULLS {term.nulls.upper()}" if term.nulls else "")
