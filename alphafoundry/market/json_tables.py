"""Tables in JSON, as the services of vendors answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from alphafoundry.errors import MarketError
from alphafoundry.market.columns import normal
from alphafoundry.market.tables import RawTable, find_heading, table_of_cells

_SYMBOL_KEYS = ("symbol", "ticker", "2_symbol", "code")
_DEEP = 6


def read_json_tables(data: bytes, *, name: str, stem: str) -> list[RawTable]:
    """Return the tables of a JSON text: one, or one for each symbol.

    Understands lists of records, records by day or by symbol, lists of rows, and columns as lists,
    at any place of the document; also one record a line. Raises MarketError where the text is no
    JSON, or holds no such thing, as an answer that tells of a refusal.
    """
    document = _document(data, name)
    found = _tables(document, None, _DEEP)
    if not found:
        said = next(iter(_texts(document)), "nothing")
        raise MarketError(
            f"{name}: this JSON holds no bars; it says {said[:200]!r}. Ask the vendor again, and "
            "keep its answer only where it holds prices"
        )
    return [
        _table(
            rows,
            name=name if len(found) == 1 else f"{name}: {symbol}",
            stem=symbol or stem,
            told=symbol is not None,
        )
        for symbol, rows in found
    ]


def _document(data: bytes, name: str) -> Any:
    try:
        text = data.decode("utf-8-sig")
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            if text.lstrip().startswith("{") and "\n" in text.strip():
                return [json.loads(line) for line in text.splitlines() if line.strip()]
            raise
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MarketError(f"{name}: not readable as JSON ({error}); was it cut off?") from None


def _tables(node: Any, symbol: str | None, depth: int) -> list[tuple[str | None, list[Any]]]:
    """Return (symbol or None, rows) of every table below a node."""
    if isinstance(node, list) and depth:
        records = all(isinstance(row, dict) for row in node) and _is_record(node[0] if node else {})
        if node and (records or all(isinstance(row, list) for row in node)):
            return [(symbol, node)]
        return [table for part in node for table in _tables(part, symbol, depth - 1)]
    if not isinstance(node, dict) or not depth:
        return []
    symbol = _symbol_of(node) or symbol
    rows = _by_column(node) or _by_day(node)
    if rows:
        return [(symbol, rows)]
    found: list[tuple[str | None, list[Any]]] = []
    for key, part in node.items():
        below = _tables(part, symbol, depth - 1)
        named = len(below) == 1 and below[0][0] is None and isinstance(part, list)
        outer = normal(key) in (
            "data",
            "results",
            "bars",
            "values",
            "historical",
            "prices",
            "quotes",
        )
        found += [(key, below[0][1])] if named and not outer else below
    return found


def _is_record(node: Mapping[str, Any]) -> bool:
    return sum(not isinstance(value, (dict, list)) for value in node.values()) >= 2


def _symbol_of(node: Mapping[str, Any]) -> str | None:
    for key, value in node.items():
        inner = value if isinstance(value, dict) and normal(key) in ("meta", "meta_data") else None
        if inner is not None and (found := _symbol_of(inner)):
            return found
        plain = isinstance(value, str) and bool(value)
        if plain and (normal(key) in _SYMBOL_KEYS or key.strip().lower().endswith(". symbol")):
            return str(value)
    return None


def _by_day(node: Mapping[str, Any]) -> list[Any]:
    """Return the records of a mapping of day to record, or of a column to cells by row."""
    from alphafoundry.market.dates import looks_like_date

    if not node or not all(isinstance(value, dict) for value in node.values()):
        return []
    if all(looks_like_date(key) for key in node):
        return [{"date": key, **value} for key, value in node.items()]
    first = next(iter(node.values()))
    if first and all(value.keys() == first.keys() for value in node.values()):
        if all(key.isdigit() and len(key) < 8 for key in first):
            return [{label: cells[key] for label, cells in node.items()} for key in first]
        if all(looks_like_date(key) for key in first):
            return [
                {"date": key, **{label: cells[key] for label, cells in node.items()}}
                for key in first
            ]
    return []


def _by_column(node: Mapping[str, Any]) -> list[Any]:
    """Return the records of columns that are lists of the same length."""
    if isinstance(node.get("columns"), list) and isinstance(node.get("data"), list):
        labels = [str(label) for label in node["columns"]]
        rows = [row for row in node["data"] if isinstance(row, list)]
        index = node.get("index")
        if isinstance(index, list) and len(index) == len(rows):
            return [
                {"": day, **dict(zip(labels, row, strict=False))}
                for day, row in zip(index, rows, strict=True)
            ]
        return [dict(zip(labels, row, strict=False)) for row in rows]
    lists = {key: value for key, value in node.items() if isinstance(value, list)}
    inner = node.get("indicators")
    if isinstance(inner, dict):
        for part in inner.values():
            if isinstance(part, list) and part and isinstance(part[0], dict):
                lists |= {key: value for key, value in part[0].items() if isinstance(value, list)}
    lengths = {len(value) for value in lists.values()}
    plain = all(
        not isinstance(cell, (dict, list)) for value in lists.values() for cell in value[:3]
    )
    if len(lists) < 2 or len(lengths) != 1 or not plain:
        return []
    return [dict(zip(lists, cells, strict=True)) for cells in zip(*lists.values(), strict=True)]


def _table(rows: list[Any], *, name: str, stem: str, told: bool) -> RawTable:
    def place(row: int) -> str:
        return f"record {row + 1}"

    if isinstance(rows[0], list):
        texts = [[_text(cell) for cell in row] for row in rows]
        heading = find_heading(texts[:40])
        if heading is None:
            raise MarketError(f"{name}: lists without names of columns; give records")
        width = len(heading.labels)
        return table_of_cells(
            [(row + [""] * width)[:width] for row in texts[heading.rows :]],
            name=name,
            stem=stem,
            labels=heading.labels,
            place=place,
            told=told,
            notes=heading.notes,
        )
    labels = tuple(dict.fromkeys(key for row in rows for key in row))
    return table_of_cells(
        [[_text(row.get(label)) for label in labels] for row in rows],
        name=name,
        stem=stem,
        labels=labels,
        place=place,
        told=told,
    )


def _text(cell: object) -> str:
    if cell is None or isinstance(cell, (dict, list)):
        return ""
    return str(cell)


def _texts(node: Any) -> list[str]:
    if isinstance(node, str):
        return [node]
    parts = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    return [text for part in parts for text in _texts(part)]
