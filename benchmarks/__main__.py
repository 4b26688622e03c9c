"""Run all benchmarks: `make benchmarks`.

By default, this runs a quick version of each benchmark into build/benchmarks. ``FULL=1`` runs the
published versions into benchmarks/results. Benchmarks with a result of the current revision are
skipped, so an interrupted run can be continued. The output is written to build/logs. If a benchmark
fails, the remaining ones still run.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import record
from benchmarks.catalogue import entries
from benchmarks.datasets import PROJECT_ROOT
from benchmarks.runner import Benchmark, Run
from benchmarks.timing import timed

# FULL=1 selects the published runs in place of the quick ones.
FULL = os.environ.get("FULL", "0") not in ("", "0")
BUILD = PROJECT_ROOT / "build"
RESULTS = record.RESULTS if FULL or "SKAE_RESULTS" in os.environ else BUILD / "benchmarks"


def environment() -> dict[str, str]:
    """Return environment variables with which benchmarks write to `RESULTS`."""
    is_published = RESULTS == PROJECT_ROOT / "benchmarks" / "results"
    return dict(os.environ) if is_published else {**os.environ, "SKAE_RESULTS": str(RESULTS)}


def execute(benchmark: Benchmark, run: Run, *, again: bool) -> str:
    """Execute one run; return a message if it or one of its cases failed."""
    quick = "" if FULL else run.quick or ""
    command = [sys.executable, "-m", *shlex.split(f"{benchmark.command(run)} {quick}")]
    if again and benchmark.resumes:
        command.append("--again")
    log = BUILD / "logs" / f"{run.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        process = subprocess.run(
            command, stdout=file, stderr=subprocess.STDOUT, env=environment(), cwd=PROJECT_ROOT
        )
    lines = log.read_text().strip().splitlines()
    if process.returncode:
        return f"{run.name} failed: {' '.join(lines[-1:])} (see {log})"
    return "\n".join(f"{run.name}: {line}" for line in lines if line.startswith("Failed: "))


def is_complete(benchmark: Benchmark, run: Run) -> bool:
    """Whether there is a result of this revision; a benchmark that resumes checks its own cases."""
    content = None if benchmark.resumes else record.read(run.name, RESULTS)
    return bool(content and content["environment"]["git_revision"] == record.revision())


def execute_all(selected: Sequence[tuple[Benchmark, Run]], *, again: bool) -> list[str]:
    """Execute the runs with a progress bar; return the messages of failures."""
    failures, seconds = [], {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn()) as progress:
        task = progress.add_task("", total=len(selected))
        for benchmark, run in selected:
            progress.update(task, description=run.name)
            if again or not is_complete(benchmark, run):
                failure, seconds[run.name] = timed(execute, benchmark, run, again=again)
                if failure:
                    failures.append(failure)
                    progress.console.print(failure)
            progress.advance(task)
    print(", ".join(f"{name} {elapsed:.0f} s" for name, elapsed in seconds.items()))
    return failures


def main() -> int:
    """Run from the command line."""
    available = [(benchmark, run) for benchmark, run in entries() if run.in_suite]
    names = [run.name for _, run in available]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--again", action="store_true", help="also execute completed runs")
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    options = parser.parse_args()
    selected = [(benchmark, run) for benchmark, run in available if run.name in options.only]
    skipped = [run.name for _, run in selected if not FULL and run.quick is None]
    if skipped:
        print(f"These need FULL=1: {', '.join(skipped)}.")
    selected = [(benchmark, run) for benchmark, run in selected if run.name not in skipped]
    if not selected:
        return 1
    failures = execute_all(selected, again=options.again)
    report = [sys.executable, "-m", "benchmarks.report"]
    subprocess.run(report, env=environment(), cwd=PROJECT_ROOT, check=True)
    return bool(failures)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("Interrupted. Run the same command again to continue.")
