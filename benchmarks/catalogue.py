"""All benchmarks, in the order of their pages in docs/results."""

from __future__ import annotations

from importlib import import_module

from benchmarks.runner import Benchmark, Run

MODULES = (
    "pca",
    "hard_rows",
    "selection",
    "seeds",
    "promise",
    "frontier",
    "nearest_codes",
    "ordered",
    "default_fit",
    "methods_cost",
    "counts",
    "memory",
    "sparse_input",
    "sparse_scripts",
    "busy",
    "inspection",
    "tsne",
    "tsne_whole",
    "pipeline",
    "speed",
    "mnist30",
    "sparse",
    "denoising",
    "contractive",
    "strength",
    "vae",
    "generation",
    "depth",
    "labels",
    "conv",
    "hashing",
    "psd",
    "figures",
)


def entries() -> list[tuple[Benchmark, Run]]:
    """Return all published runs, each with its benchmark."""
    benchmarks = [import_module(f"benchmarks.{module}").BENCHMARK for module in MODULES]
    return [(benchmark, run) for benchmark in benchmarks for run in benchmark.runs]
