"""The runner: a benchmark declares its cases, measurement, settings and page.

A benchmark with ``resumes=True`` writes its result file after each case. An interrupted run then
continues with the missing cases, and a case that raises an exception becomes a row with an "error".
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from joblib import Parallel, delayed
from rich.progress import track
from threadpoolctl import threadpool_limits

from benchmarks import record
from benchmarks.tables import Block, Content, Row, plain_text, render

Options = argparse.Namespace
Case = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """A published run of a benchmark.

    Attributes
    ----------
    name : str
        Name of the result file.
    title : str
        Title of its page in docs/results. Without a title there is no page.
    arguments : str
        Command-line arguments of the published run.
    quick : str or None
        Further arguments of the quick run; None if there is no quick run.
    in_suite : bool
        Whether `make benchmarks` includes this run.
    """

    name: str
    title: str = ""
    arguments: str = ""
    quick: str | None = None
    in_suite: bool = True


@dataclass(frozen=True)
class Benchmark:
    """A benchmark: what it measures and how its results are shown.

    Attributes
    ----------
    module : str
        Name of the module, which is also the default name of the result file.
    cases : callable
        Called with the options; returns the cases, each a mapping.
    measure : callable
        Called with the options, and with a case as keyword arguments. A mapping that it returns is
        joined to the case to make a row; an iterable yields complete rows.
    runs : sequence of Run
    section : sequence of Block
        See `benchmarks.tables`.
    summarise : callable
        Called with the rows and the options; returns the summary in the result file.
    settings : callable
        Called with the options; returns what else the rows depend on. A benchmark that does not
        resume calls it after the last case.
    options : mapping
        Command-line options: the default, from which the type follows (a sequence takes several
        values, False is a flag), a type if there is no default, or arguments of `add_argument`.
    seeds : int or sequence of int
        Default of ``--seed`` or ``--seeds``.
    rows : int, sequence of int or None
        Default of ``--rows``, the number of training rows. None leaves the option out.
    description : str
        Shown by ``--help``.
    resumes : bool
    parallel : bool
        Whether ``--jobs`` distributes the cases over processes.
    """

    module: str
    cases: Callable[[Options], Iterable[Case]]
    measure: Callable[..., Row | Iterable[Row]]
    runs: Sequence[Run] = ()
    section: Sequence[Block] = ()
    summarise: Callable[[list[Row], Options], Any] = lambda rows, options: {}
    settings: Callable[[Options], Row] = lambda options: {}
    options: Mapping[str, Any] = field(default_factory=dict)
    seeds: int | Sequence[int] = 0
    rows: int | Sequence[int] | None = None
    description: str | None = None
    resumes: bool = False
    parallel: bool = False

    def command(self, run: Run) -> str:
        """Return the module and the arguments of a published run."""
        name = "" if run.name == self.module else f" --name {run.name}"
        return f"benchmarks.{self.module} {run.arguments}".strip() + name

    def parser(self) -> argparse.ArgumentParser:
        """Return the parser of the options."""
        parser = argparse.ArgumentParser(
            description=self.description, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        seeds = {"--seed" if isinstance(self.seeds, int) else "--seeds": self.seeds}
        rows = {} if self.rows is None else {"--rows": self.rows}
        for flag, value in {**self.options, **seeds, **rows}.items():
            parser.add_argument(flag, **_option(value))
        parser.add_argument("--data-dir", help="folder of the data files (default: SKAE_DATA)")
        parser.add_argument("--name", default=self.module, help="name of the result file")
        if self.parallel:
            parser.add_argument(
                "--jobs", type=int, default=1, help="number of single-threaded processes"
            )
        if self.resumes:
            parser.add_argument(
                "--again", action="store_true", help="measure cases again that have a row"
            )
        return parser

    def main(self, arguments: Sequence[str] | None = None) -> Content:
        """Run from the command line: measure, write the result file and print the section."""
        options = self.parser().parse_args(arguments)
        content = self._resume(options) if self.resumes else self._run(options)
        print(f"\n{render(self.section, content, plain_text)}\n")
        print(f"Results written to {record.RESULTS / options.name}.json.")
        return content

    def _resume(self, options: Options) -> Content:
        return resume(
            options.name,
            self.cases(options),
            lambda **case: self.measure(options, **case),
            settings=self.settings(options),
            summarise=lambda rows: self.summarise(rows, options),
            again=options.again,
        )

    def _run(self, options: Options) -> Content:
        rows = []
        for row in self._measured(options):
            rows.append(row)
            print(", ".join(f"{key}: {_short(value)}" for key, value in row.items()), flush=True)
        if not rows:
            raise SystemExit("No case was measured.")
        summary = self.summarise(rows, options)
        seeds = getattr(options, "seeds", None) or [options.seed]
        settings = self.settings(options)
        return record.write(options.name, rows, summary, seeds=seeds, settings=settings)

    def _measured(self, options: Options) -> Iterator[Row]:
        cases = list(self.cases(options))
        if self.parallel:
            calls = (delayed(self.measure)(options, **case) for case in cases)
            measured = Parallel(n_jobs=options.jobs, return_as="generator")(calls)
        else:
            measured = (self.measure(options, **case) for case in cases)
        for case, result in zip(cases, measured, strict=True):
            if isinstance(result, Mapping):
                yield {**case, **result}
            else:
                yield from result


@contextmanager
def threads_of_jobs(options: Options) -> Iterator[None]:
    """Use one thread in each process if there are several (``--jobs``)."""
    n_threads = 1 if options.jobs > 1 else None
    if n_threads:
        torch.set_num_threads(n_threads)  # of a process that measures nothing else
    with threadpool_limits(n_threads):
        yield


def _option(value: Any) -> dict[str, Any]:
    """Return the keyword arguments of `add_argument` for an entry of `Benchmark.options`."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, type):
        return {"type": value}
    if isinstance(value, bool):
        return {"action": "store_true"}
    if isinstance(value, (int, float, str)):
        return {"type": type(value), "default": value}
    return {"nargs": "+", "type": type(value[0]), "default": list(value)}


def several(choices: Iterable[str], default: Sequence[str] = ()) -> dict[str, Any]:
    """Return an option that takes several of the choices (by default, all)."""
    names = list(choices)
    return {
        "nargs": "+",
        "choices": names,
        "default": list(default or names),
        "metavar": "NAME",
        "help": ", ".join(names),
    }


def _short(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(map(_short, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def selected_parts(options: Options) -> list[Case]:
    """Return one case per selected part."""
    return [{"part": part} for part in options.parts]


def resume(
    name: str,
    cases: Iterable[Case],
    measure: Callable[..., Row],
    *,
    settings: Row,
    summarise: Callable[[list[Row]], Any] = lambda rows: {},
    again: bool = False,
) -> Content:
    """Measure the cases that the result file lacks, and write the file after each of them.

    Parameters
    ----------
    name : str
        Name of the result file.
    cases : iterable of mapping
        All have the same keys, such as set, method and seed.
    measure : callable
        Called with a case as keyword arguments; returns a mapping. If it raises an exception, the
        message becomes the "error" of the row.
    settings : mapping
        What all rows of the file have in common.
    summarise : callable
        Called with the rows; returns the summary.
    again : bool
        Measure all of these cases. By default, only missing and failed cases are measured.

    Returns
    -------
    content : dict
        The content of the file, with the rows of these cases only, in the order of the cases.

    Raises
    ------
    SystemExit
        If the file has rows with other settings and `again` is False, if every case failed, or if
        the run is interrupted.
    """
    cases = list({_key(case): case for case in cases}.values())
    settings = json.loads(json.dumps(record.to_json(settings)))
    keys = cases[0].keys()
    known = _known_rows(name, settings, keys, again)
    missing = [case for case in cases if again or "error" in known.get(_key(case), {"error": ""})]
    try:
        for case in track(missing, description=f"{name}, {len(missing)} of {len(cases)} cases"):
            row = _measured_row(case, measure)
            # Read the file again, because another run may have added rows to it.
            known = {**_known_rows(name, settings, keys, again), _key(case): row}
            rows = list(known.values())
            seeds = sorted({row["seed"] for row in rows})
            record.write(name, rows, summarise(rows), seeds=seeds, settings=settings)
    except KeyboardInterrupt:
        raise SystemExit("Interrupted. Run the same command again to continue.") from None
    found = [known[_key(case)] for case in cases]
    for row in found:
        if "error" in row:
            print(f"Failed: {', '.join(f'{key} {row[key]}' for key in keys)}: {row['error']}")
    if all("error" in row for row in found):
        raise SystemExit("Every case failed.")
    return {**(record.read(name) or {}), "rows": found}


def _measured_row(case: Case, measure: Callable[..., Row]) -> dict[str, Any]:
    start = time.perf_counter()
    try:
        figures = dict(measure(**case))
    except Exception as error:  # the other cases are still measured
        figures = {"error": f"{type(error).__name__}: {error}"}
    run = {"case_seconds": time.perf_counter() - start, "revision": record.revision()}
    return {**case, **figures, **run}


def _key(case: Case) -> str:
    return json.dumps(record.to_json(case), sort_keys=True)


def _known_rows(
    name: str, settings: Row, keys: Collection[str], again: bool
) -> dict[str, dict[str, Any]]:
    content = record.read(name)
    if content is None:
        return {}
    found = {key: value for key, value in content["settings"].items() if key != "seeds"}
    if found == settings:
        return {_key({key: row[key] for key in keys}): row for row in content["rows"]}
    if again:
        return {}
    raise SystemExit(
        f"{record.RESULTS / name}.json has rows with other settings: {found} instead of "
        f"{settings}. Pass another --name, or discard those rows with --again."
    )
