"""All benchmarks, one after the other: `make benchmarks`.

A quick version of each by default, into build/benchmarks; with ``FULL=1`` the published figures,
into benchmarks/results. What has a result of this revision is not run again: after an interrupt the
next call goes on. A benchmark that fails leaves its output in build/logs, and the others run.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import record
from benchmarks.crossing import FULL
from benchmarks.datasets import PROJECT_ROOT
from benchmarks.jobs import JOBS, Job

BUILD = PROJECT_ROOT / "build"
RESULTS = record.RESULTS if FULL or "SKAE_RESULTS" in os.environ else BUILD / "benchmarks"


def environment() -> dict[str, str]:
    """Return the environment in which benchmarks write to `RESULTS`."""
    published = RESULTS == PROJECT_ROOT / "benchmarks" / "results"
    return dict(os.environ) if published else {**os.environ, "SKAE_RESULTS": str(RESULTS)}


def run(job: Job, *, again: bool) -> str:
    """Run one benchmark; return what went wrong, if anything did."""
    module, *arguments = shlex.split(job.command if FULL else f"{job.command} {job.quick}")
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    if again and job.resumes:
        command.append("--again")
    log = BUILD / "logs" / f"{job.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        done = subprocess.run(
            command, stdout=file, stderr=subprocess.STDOUT, env=environment(), cwd=PROJECT_ROOT
        )
    lines = log.read_text().strip().splitlines()
    if done.returncode:
        return f"{job.name} failed: {' '.join(lines[-1:])} (see {log})"
    return "\n".join(f"{job.name}: {line}" for line in lines if line.startswith("Failed: "))


def is_known(job: Job) -> bool:
    """Whether a whole run at this revision has left its result."""
    content = None if job.resumes else record.read(job.name, RESULTS)
    return bool(content and content["environment"]["git_revision"] == record.revision())


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--again", action="store_true", help="run what has its result, too")
    parser.add_argument("--only", nargs="+", choices=[job.name for job in JOBS])
    arguments = parser.parse_args()
    jobs = [job for job in JOBS if job.name in (arguments.only or [job.name])]
    skipped = [job.name for job in jobs if not FULL and job.quick is None]
    jobs = [job for job in jobs if job.name not in skipped]
    if skipped:
        print(f"With FULL=1 only: {', '.join(skipped)}.")
    if not jobs:
        return 1
    failures, seconds = [], {}
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns) as progress:
        bar = progress.add_task("", total=len(jobs))
        for job in jobs:
            progress.update(bar, description=job.name)
            if arguments.again or not is_known(job):
                start = time.perf_counter()
                failure = run(job, again=arguments.again)
                seconds[job.name] = time.perf_counter() - start
                if failure:
                    failures.append(failure)
                    progress.console.print(failure)
            progress.advance(bar)
    print(", ".join(f"{name} {taken:.0f} s" for name, taken in seconds.items()))
    report = [sys.executable, "-m", "benchmarks.report"]
    subprocess.run(report, env=environment(), cwd=PROJECT_ROOT, check=True)
    return bool(failures)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("Interrupted. The same command goes on with what is missing.")
