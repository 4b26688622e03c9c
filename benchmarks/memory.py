"""Peak memory of fit, transform and score, above the memory of X.

Each case runs in a process of its own. It makes X, reads it once (so that the pages of a memory map
count as X), resets the kernel's peak of the resident set and calls one method after the other. The
figures are the peak of each method less the resident set before it, as multiples of the size of X.
A small fit before that loads what is loaded once. Linux only.
"""

from __future__ import annotations

import ctypes
import gc
import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

import skae
from benchmarks.datasets import PROJECT_ROOT
from benchmarks.runner import Benchmark, Case, Options, Run, several
from benchmarks.tables import Row, Table

# The promised multiples of X. A transform returns a code and works on a chunk of the rows.
AIMS = {"fit": 2.2, "score": 1.2}
COLUMNS = {"tall": 100, "wide": 40_000}
LAYOUTS = ("C", "Fortran", "read-only map", "frame")
NETWORK = {"hidden_layer_sizes": (32,), "max_iter": 2, "random_state": 0, "device": "cpu"}
# Estimator, the methods measured and its other parameters.
METHODS: dict[str, tuple[type, tuple[str, ...], dict[str, Any]]] = {
    "Autoencoder": (
        skae.Autoencoder,
        ("fit", "transform", "score", "reconstruction_error", "fit_transform"),
        {},
    ),
    "VariationalAutoencoder": (
        skae.VariationalAutoencoder,
        ("fit", "transform", "score", "elbo"),
        {},
    ),
    "DenoisingAutoencoder": (skae.DenoisingAutoencoder, ("fit", "transform", "score"), {}),
    "SparseAutoencoder": (skae.SparseAutoencoder, ("fit", "transform", "score"), {}),
    "HashingAutoencoder": (skae.HashingAutoencoder, ("fit", "transform", "score"), {}),
    "AutoencoderClassifier": (
        skae.AutoencoderClassifier,
        ("fit", "predict", "predict_proba", "score"),
        {},
    ),
}


def cases(options: Options) -> Iterator[Case]:
    """Yield every layout for `Autoencoder`, one layout for each of the others."""
    for method in options.methods:
        for shape in options.shapes:
            layouts = options.layouts if method == "Autoencoder" else ("read-only map",)
            for layout in layouts:
                for dtype in ("float64", "float32"):
                    yield {"method": method, "shape": shape, "layout": layout, "dtype": dtype}
            if method == "HashingAutoencoder":
                yield {"method": method, "shape": shape, "layout": "CSR", "dtype": "float32"}


def measure(options: Options, **case: Any) -> Iterator[Row]:
    """Run a case in a process of its own."""
    code = f"from benchmarks.memory import probe; probe({options.mib}, {options.seed}, **{case})"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT_ROOT
    )
    if process.returncode:
        raise RuntimeError(process.stderr.strip().splitlines()[-1])
    for line in process.stdout.splitlines():
        row = {**case, **json.loads(line)}
        aim = AIMS.get(row["call"])
        yield {**row, "aim": aim, "met": None if aim is None else row["multiple"] <= aim}


def probe(mib: int, seed: int, *, method: str, shape: str, layout: str, dtype: str) -> None:
    """Print the peak memory of each method as a line of JSON."""
    warnings.simplefilter("ignore")
    cls, calls, parameters = METHODS[method]
    with tempfile.TemporaryDirectory() as folder:
        X, n_bytes = make_data(mib, COLUMNS[shape], layout, np.dtype(dtype), seed, Path(folder))
        y = np.random.default_rng(seed).integers(2, size=X.shape[0])
        small = make_data(1, 20, layout, np.dtype(dtype), seed, Path(folder))[0][:600]
        arguments = {**NETWORK, **parameters}
        if method == "AutoencoderClassifier":
            arguments |= {"autoencoder": skae.Autoencoder(2, **arguments), "hidden_layer_sizes": ()}
            del arguments["device"]
        estimator = cls(**arguments)
        for call in calls:
            getattr(estimator, call)(*arguments_of(call, small, y[:600]))
        estimator = cls(**arguments)
        for call in calls:
            function: Callable[..., Any] = getattr(estimator, call)
            mib_above = peak_above(function, *arguments_of(call, X, y)) / 2**20
            multiple = mib_above * 2**20 / n_bytes
            print(
                json.dumps(
                    {"call": call, "x_mib": n_bytes / 2**20, "mib": mib_above, "multiple": multiple}
                )
            )


def arguments_of(call: str, X: Any, y: np.ndarray) -> tuple[Any, ...]:
    """Return the arguments of a method."""
    return (X, y) if call in ("fit", "score") else (X,)


def make_data(
    mib: int, n_columns: int, layout: str, dtype: np.dtype[Any], seed: int, folder: Path
) -> tuple[Any, int]:
    """Return X of about this many MiB, with columns of falling variance, and its size in bytes."""
    random = np.random.default_rng(seed)
    n_rows = max(600, mib * 2**20 // (dtype.itemsize * n_columns))
    if layout == "CSR":
        n_entries = 20
        n_rows = mib * 2**20 // (n_entries * (dtype.itemsize + 4))
        columns = random.integers(n_columns, size=n_rows * n_entries, dtype=np.int32)
        starts = np.arange(0, columns.size + 1, n_entries, dtype=np.int32)
        X = csr_array((np.ones(columns.size, dtype), columns, starts), shape=(n_rows, n_columns))
        return X, X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
    if layout == "read-only map":
        path = folder / f"{n_rows}_{n_columns}.npy"
        X = np.lib.format.open_memmap(path, "w+", dtype, (n_rows, n_columns))
    else:
        X = np.empty((n_rows, n_columns), dtype, order="F" if layout == "Fortran" else "C")
    deviations = np.linspace(2.0, 0.5, n_columns)
    for start in range(0, n_rows, 256):
        block = X[start : start + 256]
        block[:] = random.standard_normal(block.shape) * deviations + 1.0
    if layout == "read-only map":
        X.flush()
        del X, block
        X = np.load(path, mmap_mode="r")
    X.sum()
    n_bytes = X.nbytes
    if layout == "frame":
        import pandas as pd

        X = pd.DataFrame(X, columns=[f"x{i}" for i in range(n_columns)])
    return X, n_bytes


def peak_above(function: Callable[..., Any], *arguments: Any) -> float:
    """Return how far the resident set rises above its present size while the function runs."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    function(*arguments)
    return resident("VmHWM") - before


def resident(name: str) -> float:
    """Return the resident set (VmRSS) or its peak (VmHWM) in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024


SECTION = [
    "Peak resident memory of a call above that before it, as a multiple of the size of X. Tall X "
    "has {settings[columns][tall]} columns, wide X {settings[columns][wide]}; the network has one "
    "hidden layer of 32. The data have no structure, so that the fit returns to PCA after "
    "training, the path with the most copies.",
    Table(
        "= method | = shape | = layout | = dtype | X, MiB = x_mib:.0f | = call | "
        "above X, MiB = mib:.0f | times X = multiple:.2f | aim: at most = aim | = met"
    ),
]

BENCHMARK = Benchmark(
    module="memory",
    description=__doc__,
    cases=cases,
    measure=measure,
    settings=lambda options: {"columns": COLUMNS, "network": NETWORK, "mib": options.mib},
    section=SECTION,
    runs=[
        Run(
            "memory",
            "Peak memory",
            arguments="--mib 100 --methods Autoencoder --shapes tall",
            quick="--mib 50",
        )
    ],
    options={
        "--mib": 300,
        "--methods": several(METHODS),
        "--shapes": several(COLUMNS),
        "--layouts": several(LAYOUTS),
    },
)

if __name__ == "__main__":
    BENCHMARK.main()
