"""All benchmarks, one after the other: `make benchmarks`.

A quick version of each by default, into build/benchmarks; with ``FULL=1`` the published figures,
into benchmarks/results. What has its result is not run again: after an interrupt the next call goes
on. A benchmark that fails leaves its output in a log, and the others run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.datasets import PROJECT_ROOT

QUICK_RESULTS = PROJECT_ROOT / "build" / "benchmarks"
_FEW = "--rows 5000"


@dataclass(frozen=True)
class Job:
    """A benchmark.

    Attributes
    ----------
    name : str
        Of its result file.
    command : str
        Module and arguments of the published run.
    quick : str or None
        Further arguments of the quick run; None where there is none.
    resumes : bool
        Whether it knows itself which of its rows it has.
    """

    name: str
    command: str
    quick: str | None = ""
    resumes: bool = False


JOBS = (
    Job("pca", "pca --jobs 2", "--sets iris wine digits segmentation spambase --seeds 0"),
    Job("speed", "speed", "--quick"),
    Job("default_fit", "pca --sets iris --seeds 0 --mnist", None),
    Job("mnist30", "mnist30", f"{_FEW} --epochs 5"),
    Job("sparse", "sparse", f"--parts kl topk {_FEW} --epochs 3"),
    Job("denoising", "denoising", "--parts score --seeds 0"),
    Job("contractive", "contractive", f"{_FEW} --epochs 2 --fine-tuning 5"),
    Job("strength", "strength", "--units 50"),
    Job("vae", "vae", f"{_FEW} --static-epochs 3 --stochastic-epochs 3 --test-rows 200"),
    Job("generation", "generation"),
    Job("depth", "depth --only ways", f"{_FEW} --seconds 5"),
    Job("depth_layers", "depth --only layers", None),
    Job("labels", "labels", f"{_FEW} --labels 100 --seeds 0 --epochs 2"),
    Job("conv", "conv", f"{_FEW} --sets mnist --seconds 10"),
    Job("conv_dense", 'conv --methods "Autoencoder, as many parameters"', None),
    Job("hashing", "hashing", "--parts look-ups"),
    Job("hashing_memory", "hashing --parts memory", None),
    Job("psd", "psd", _FEW),
    Job("tsne", "tsne", resumes=True),
    Job("tsne_whole", "tsne_whole", "--sets mnist --most 3000", resumes=True),
    Job("pipeline", "pipeline", resumes=True),
    Job("figures", "figures", "--set digits"),
)


def run(job: Job, results: Path, *, full: bool) -> str | None:
    """Run one benchmark; return what went wrong, if anything did."""
    module, *arguments = job.command.split(maxsplit=1)
    command = f"{sys.executable} -m benchmarks.{module} {' '.join(arguments)}"
    if not full:
        command += f" {job.quick}"
    if job.name != "figures":
        command += f" --name {job.name}"
    log = results / "logs" / f"{job.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}
    if not full:
        environment["SKAE_RESULTS"] = str(results)
    with log.open("w") as file:
        done = subprocess.run(
            command, shell=True, stdout=file, stderr=subprocess.STDOUT, env=environment
        )
    if done.returncode:
        last = log.read_text().strip().splitlines()[-1:]
        return f"{job.name} failed: {' '.join(last)} (see {log})"
    return None


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--again", action="store_true", help="run what has its result, too")
    parser.add_argument("--only", nargs="+", choices=[job.name for job in JOBS])
    arguments = parser.parse_args()
    full = bool(os.environ.get("FULL"))
    results = PROJECT_ROOT / "benchmarks" / "results" if full else QUICK_RESULTS
    jobs = [job for job in JOBS if full or job.quick is not None]
    if arguments.only:
        jobs = [job for job in jobs if job.name in arguments.only]
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
            known = (results / f"{job.name}.json").exists() and not job.resumes
            progress.update(bar, description=job.name)
            if arguments.again or not known:
                start = time.perf_counter()
                failure = run(job, results, full=full)
                seconds[job.name] = time.perf_counter() - start
                if failure:
                    failures.append(failure)
                    progress.console.print(failure)
            progress.advance(bar)
    print(", ".join(f"{name} {taken:.0f} s" for name, taken in seconds.items()))
    environment = dict(os.environ) if full else {**os.environ, "SKAE_RESULTS": str(results)}
    subprocess.run([sys.executable, "-m", "benchmarks.report"], env=environment, check=True)
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
