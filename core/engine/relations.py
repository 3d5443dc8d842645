"""How two served tables are joined: to one, to many, or through a junction; found by foreign keys and hints.

Decides which foreign key an embed means, or that it is unknown or ambiguous. Knows no SQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from core.engine.schema import ForeignKey, Schema, near
from core.errors import AMBIGUOUS_RELATION, UNKNOWN_RELATION, Fault, Refusal

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """From `origin` to `target`: `pairs` are (origin column, target column).

    Through a junction `pairs` are (origin column, junction column), `junction_pairs` (junction column, target column).
    """

    origin: str
    target: str
    to_one: bool
    pairs: Pairs
    constraint: str
    names: frozenset[str]
    """What a hint may call it: the constraint, a single column of either side, the junction."""
    junction: str | None = None
    junction_pairs: Pairs = ()
    is_plain: bool = True
    """Found without a hint. A junction that is more than its two keys must be asked for by name."""

    def described(self) -> str:
        """One line for the list of candidates."""
        kind = "many-to-many" if self.junction else "many-to-one" if self.to_one else "one-to-many"
        return f"{self.target}!{self.junction or self.constraint} ({kind})"


def find_relation(schema: Schema, origin: str, target: str, hint: str | None) -> Relation:
    """The one relation that `origin?select=target!hint(...)` means.

    `target` is a table, or a foreign key's name or single column, which then leads to the table it points at.
    Raises Refusal UNKNOWN_RELATION, or AMBIGUOUS_RELATION with the candidates.
    """
    known = list(_relations_of(schema, origin))
    if hint is None:
        found = [r for r in known if r.is_plain and _leads_to(r, origin, target)]
    else:
        found = [r for r in known if r.target == target and hint in r.names]
    if not found:
        raise _unknown(known, origin, target, hint)
    if len(found) > 1:
        candidates = [r.described() for r in found]
        raise Refusal(
            AMBIGUOUS_RELATION,
            f"select: {target} can be reached from {origin} in {len(found)} ways.",
            hint=f"Write one of: {', '.join(f'{r.target}!{r.junction or r.constraint}' for r in found)}.",
            details="; ".join(candidates),
            faults=(Fault("select", f"{target} is ambiguous"),),
            data={"candidates": candidates},
        )
    return found[0]


def _leads_to(relation: Relation, origin: str, target: str) -> bool:
    if relation.target == target:
        # A table that points at itself: its name means the rows below, the column's name the row above.
        return not (relation.to_one and relation.target == origin)
    return relation.junction is None and relation.to_one and target in (relation.constraint, _single(relation.pairs, 0))


def _single(pairs: Pairs, side: int) -> str | None:
    return pairs[0][side] if len(pairs) == 1 else None


def _relations_of(schema: Schema, origin: str) -> Iterator[Relation]:
    for key in schema.foreign_keys:
        if key.table == origin:
            yield _relation(origin, key.foreign_table, to_one=True, pairs=_pairs(key), key=key)
        if key.foreign_table == origin:
            backward = tuple((there, here) for here, there in _pairs(key))
            is_unique = any(unique <= set(key.columns) for unique in schema.tables[key.table].keys)
            yield _relation(origin, key.table, to_one=is_unique, pairs=backward, key=key)
            yield from _through(schema, key)


def _through(schema: Schema, near_key: ForeignKey) -> Iterator[Relation]:
    """The relations of `near_key.foreign_table` through the table that holds `near_key`."""
    junction = schema.tables[near_key.table]
    for far_key in schema.foreign_keys:
        if far_key.table != junction.name or far_key is near_key:
            continue
        both = frozenset(near_key.columns) | frozenset(far_key.columns)
        # PostgREST wants both keys inside the primary key; a surrogate key beside UNIQUE (a, b) says the same.
        is_plain = both in junction.keys or both <= set(junction.primary_key)
        names = {junction.name} | ({far_key.name, *far_key.columns} if is_plain else set())
        pairs = tuple((there, here) for here, there in _pairs(near_key))
        origin, target, name = near_key.foreign_table, far_key.foreign_table, far_key.name
        yield Relation(origin, target, False, pairs, name, frozenset(names), junction.name, _pairs(far_key), is_plain)


def _pairs(key: ForeignKey) -> Pairs:
    return tuple(zip(key.columns, key.foreign_columns, strict=True))


def _relation(origin: str, target: str, *, to_one: bool, pairs: Pairs, key: ForeignKey) -> Relation:
    names = {key.name} | ({pairs[0][0], pairs[0][1]} if len(pairs) == 1 else set())
    return Relation(origin, target, to_one, pairs, key.name, frozenset(names))


def _unknown(known: list[Relation], origin: str, target: str, hint: str | None) -> Refusal:
    reachable = sorted({r.target for r in known if r.is_plain})
    tried = f"{target}!{hint}" if hint else target
    advice: str | None = None
    if hint and (same := sorted({name for r in known if r.target == target for name in r.names})):
        advice = f"Hints for {target}: {', '.join(same)}."
    elif through := sorted({r.junction for r in known if r.target == target and r.junction}):
        advice = f"Embed it through another table: {', '.join(f'{junction}({target}(...))' for junction in through)}."
    elif meant := near(target, reachable):
        advice = meant
    elif reachable:
        advice = f"Reachable from {origin}: {', '.join(reachable)}."
    return Refusal(
        UNKNOWN_RELATION,
        f"select: there is no relation from {origin} to {tried}.",
        hint=advice,
        faults=(Fault("select", f"{tried} is not related to {origin}"),),
    )
