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
FULL = os.environ.get("FULL", "0") not in ("", "0")


def parser(description: str | None, name: str) -> argparse.ArgumentParser:
    """Return a parser of the options that every crossing has; `name` is the result file's."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument(
        "--again", action="store_true", help="take known rows again, those of other revisions too"
    )
    made.add_argument("--data-dir", help="see benchmarks/datasets.py; else SKAE_DATA")
    made.add_argument("--name", default=name, help="of the result file")
    return made


def count(text: str) -> int:
    """Read a number of rows, numbers or seconds from the command line."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is below 1")
    return value


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
        What all cases share.
    summarise : callable
        Rows to the summary in the file.
    again : bool
        Take all these rows again; without, only those that failed.

    Returns
    -------
    rows : list of dict
        Of these cases, in their order.

    Raises
    ------
    SystemExit
        If the file holds rows under other settings and `again` is off, if every case failed, or
        at an interrupt.
    """
    cases = list({_key(case): case for case in cases}.values())
    settings = json.loads(json.dumps(record.plain(settings)))
    keys = cases[0].keys()
    known = _known(name, settings, keys, again)
    waiting = [case for case in cases if again or "error" in known.get(_key(case), {"error": ""})]
    try:
        for case in track(waiting, description=f"{name}, {len(waiting)} of {len(cases)} cases"):
            row = _measured(case, measure)
            # Read again: another run may have added rows since.
            known = {**_known(name, settings, keys, again), _key(case): row}
            rows = list(known.values())
            seeds = sorted({row["seed"] for row in rows})
            record.write(name, rows, summarise(rows), seeds=seeds, settings=settings)
    except KeyboardInterrupt:
        raise SystemExit("Interrupted. The same command goes on with the next case.") from None
    found = [known[_key(case)] for case in cases]
    for row in found:
        if "error" in row:
            print(f"Failed: {', '.join(f'{key} {row[key]}' for key in keys)}: {row['error']}")
    if all("error" in row for row in found):
        raise SystemExit("Every case failed.")
    print(f"Rows in {record.RESULTS / name}.json.")
    return found


def _measured(case: Case, measure: Callable[..., Mapping[str, Any]]) -> dict[str, Any]:
    start = time.perf_counter()
    try:
        figures = dict(measure(**case))
    except Exception as error:  # a method that fails on a set is a row that says so
        figures = {"error": f"{type(error).__name__}: {error}"}
    taken = {"case_seconds": time.perf_counter() - start, "revision": record.revision()}
    return {**case, **figures, **taken}


def _key(case: Case) -> str:
    return json.dumps(record.plain(case), sort_keys=True)


def _known(
    name: str, settings: Mapping[str, Any], keys: Collection[str], again: bool
) -> dict[str, dict[str, Any]]:
    content = record.read(name)
    if content is None:
        return {}
    found = {k: v for k, v in content["settings"].items() if k != "seeds"}
    if found != settings:
        if again:
            return {}
        raise SystemExit(
            f"{record.RESULTS / name}.json holds rows under other settings, {found}, than these, "
            f"{settings}. Give another --name, or drop those rows with --again."
        )
    return {_key({k: row[k] for k in keys}): row for row in content["rows"]}
