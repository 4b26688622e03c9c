"""Sections of the results pages: text, and tables with declared columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

Row = Mapping[str, Any]
# What `record.read` returns: the keys are name, summary, settings, environment and rows.
Content = dict[str, Any]
# Columns separated by " | ", each a key or "header = key", and a format if it needs one:
# "seed | test error = error:.2f". Or a single column: a header, and a function of the row.
Columns = str | tuple[str, Callable[[Row], Any]]


@dataclass(frozen=True)
class Table:
    """A table of a section.

    Attributes
    ----------
    columns : Columns or sequence of Columns
    rows : sequence of mapping or None
        None stands for the rows of the result file.
    part : str or None
        Keep only the rows whose ``part`` this is.
    caption : str
        A format string over the content of the result file. A table without rows is left out
        together with its caption.
    """

    columns: Columns | Sequence[Columns]
    rows: Sequence[Row] | None = None
    part: str | None = None
    caption: str = ""

    def cells(self, content: Content) -> tuple[list[str], list[list[Any]]]:
        """Return the header, and the values of each row."""
        parts = [self.columns] if isinstance(self.columns, (str, tuple)) else self.columns
        columns = [column for part in parts for column in _columns(part)]
        rows = [
            [value(row) for _, value in columns]
            for row in (content["rows"] if self.rows is None else self.rows)
            if self.part in (None, row.get("part"))
        ]
        return [header for header, _ in columns], rows


def _columns(columns: Columns) -> Iterator[tuple[str, Callable[[Row], Any]]]:
    """Yield header and function of each column."""
    if isinstance(columns, tuple):
        yield columns
        return
    for column in columns.split(" | "):
        header, equals, key = column.rpartition("= ")
        key, _, form = key.partition(":")
        header = header.strip() if equals else key.replace("_", " ")
        yield header, partial(_value, key=key, form=form)


def _value(row: Row, key: str, form: str) -> Any:
    return format(row[key], form) if form else row.get(key)


# A format string over the content, a table, or a function of the content. The function returns text
# (not a format string), a table, or several of these.
Block = str | Table | Callable[[Content], Any]
Layout = Callable[[Sequence[str], Sequence[Sequence[Any]]], str]


def render(section: Sequence[Block], content: Content, layout: Layout) -> str:
    """Return the paragraphs and tables of a section, separated by blank lines."""
    parts: list[str] = []
    for block in section:
        if isinstance(block, str):
            parts.append(block.format(**content))
        else:
            parts += _render(block, content, layout)
    return "\n\n".join(parts)


def _render(block: Any, content: Content, layout: Layout) -> Iterator[str]:
    if isinstance(block, str):
        yield block
    elif isinstance(block, Table):
        header, rows = block.cells(content)
        if rows:
            if block.caption:
                yield block.caption.format(**content)
            yield layout(header, rows)
    elif callable(block):
        yield from _render(block(content), content, layout)
    else:
        for item in block:
            yield from _render(item, content, layout)


def markdown(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Lay out a table in Markdown."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(map(_markdown_cell, row)) + " |" for row in rows]
    return "\n".join(lines)


def _markdown_cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)


def plain_text(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Lay out a table in aligned columns."""
    columns = list(zip(*rows, strict=True))
    widths = [
        max(len(name), *(len(_plain_cell(value)) for value in column))
        for name, column in zip(header, columns, strict=True)
    ]
    numeric = [not any(isinstance(value, str) for value in column) for column in columns]
    lines = [
        [
            name.rjust(width) if right else name.ljust(width)
            for name, width, right in zip(header, widths, numeric, strict=True)
        ],
        ["-" * width for width in widths],
    ]
    lines += [
        [_plain_cell(value, width) for value, width in zip(row, widths, strict=True)]
        for row in rows
    ]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def _plain_cell(value: Any, width: int = 0) -> str:
    if value is None:
        return "-".rjust(width)
    if isinstance(value, bool):
        return ("yes" if value else "no").rjust(width)
    if isinstance(value, (float, np.floating)):
        text = f"{value:.0f}" if 1000 <= abs(value) < 1e9 else f"{value:#.3g}".rstrip(".")
        return text.rjust(width)
    return value.ljust(width) if isinstance(value, str) else str(value).rjust(width)
