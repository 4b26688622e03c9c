"""The cross product of declared cases: run, kept after each case, resumed, never crashed."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from rich.progress import track

from benchmarks import record

Case = Mapping[str, Any]
# Whether to run what is published, or a quick part of it.
FULL = bool(os.environ.get("FULL"))


def parser(description: str | None, name: str) -> argparse.ArgumentParser:
    """Return a parser of the options that every crossing has; `name` is the result file's."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--again", action="store_true", help="take known rows again")
    made.add_argument("--data-dir")
    made.add_argument("--name", default=name)
    return made


def run(
    name: str,
    cases: Iterable[Case],
    measure: Callable[..., Mapping[str, Any]],
    *,
    settings: Mapping[str, Any],
    summarise: Callable[[list[dict[str, Any]]], Any] = lambda rows: {},
    again: bool = False,
) -> list[dict[str, Any]]:
    """Measure every case that the result file has not, and write the file after each.

    Parameters
    ----------
    name : str
        Of the file in ``benchmarks/results``.
    cases : iterable of mapping
        What tells a row from another, such as set, method and seed.
    measure : callable
        Called with a case as keywords; returns figures. What it raises becomes the row's "error".
    settings : mapping
        What all cases share. Rows taken under other settings are taken again.
    summarise : callable
        Rows to the summary in the file.
    again : bool
        Take all these rows again; without, only those that failed.

    Returns
    -------
    rows : list of dict
        Of these cases, in their order.
    """
    cases = list(cases)
    settings = json.loads(json.dumps(record.plain(settings)))
    known = _known(name, settings, cases[0].keys())
    waiting = [case for case in cases if again or _key(case) not in known]
    for case in track(waiting, description=f"{name}, {len(cases)} cases"):
        start = time.perf_counter()
        try:
            figures = dict(measure(**case))
        except Exception as error:  # a method that fails on a set is a row that says so
            figures = {"error": f"{type(error).__name__}: {error}"}
        taken = {"case_seconds": time.perf_counter() - start, "revision": record.revision()}
        known[_key(case)] = {**case, **figures, **taken}
        rows = list(known.values())  # those of other cases stay
        seeds = sorted({row["seed"] for row in rows})
        record.write(name, rows, summarise(rows), seeds=seeds, settings=settings)
    return [known[_key(case)] for case in cases]


def _key(case: Case) -> str:
    return json.dumps(record.plain(case), sort_keys=True)


def _known(
    name: str, settings: Mapping[str, Any], keys: Collection[str]
) -> dict[str, dict[str, Any]]:
    path = record.RESULTS / f"{name}.json"
    if not path.exists():
        return {}
    content = json.loads(path.read_text())
    found = {k: v for k, v in content["settings"].items() if k != "seeds"}
    if found != settings:
        return {}
    return {_key({k: row[k] for k in keys}): row for row in content["rows"] if "error" not in row}
