"""Sparse X: time and peak memory of fits to documents, and what they are good for.

The documents are those of 20 newsgroups. Each case runs in a process of its own, after a fit to a
few rows that loads what is loaded once. Memory is the peak of the resident set less the resident
set before the fit, as in `benchmarks.memory`. Linux only.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer

from benchmarks.datasets import PROJECT_ROOT, load_newsgroups
from benchmarks.memory import peak_above, resident
from benchmarks.runner import Benchmark, Case, Options, Run, several
from benchmarks.tables import Row, Table
from skae import Autoencoder, HashingAutoencoder

# Those of `HashingAutoencoder` are fitted to counts, for as long as they like.
WEIGHTS = ("TruncatedSVD", "Autoencoder", "Autoencoder, dense X")
COUNTS = ("HashingAutoencoder", "HashingAutoencoder, bfloat16")
N_COMPONENTS, N_BITS = 100, 32
SHARED: dict[str, Any] = {"random_state": 0, "device": "cpu"}


def cases(options: Options) -> Iterator[Case]:
    """Yield every method, `Autoencoder` with each number of epochs."""
    for method in options.methods:
        has_epochs = method.startswith("Autoencoder")
        for n_epochs in options.epochs if has_epochs else [None]:
            yield {"method": method, "epochs": n_epochs}


def measure(options: Options, **case: Any) -> Iterator[Row]:
    """Run a case in a process of its own."""
    arguments = (options.words, options.documents, options.data_dir, *case.values())
    yield {**case, **in_own_process(__name__, *arguments)}


def in_own_process(module: str, *arguments: Any) -> Row:
    """Return what ``probe(*arguments)`` of a module prints in a process of its own."""
    name = "benchmarks.sparse_input" if module == "__main__" else module
    code = f"from {name} import probe; probe{arguments}"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT_ROOT
    )
    if process.returncode:
        raise RuntimeError(process.stderr.strip().splitlines()[-1])
    return dict(json.loads(process.stdout))


def estimator(method: str, n_epochs: int | None) -> Any:
    """Return the estimator of a method."""
    if method == "TruncatedSVD":
        return TruncatedSVD(N_COMPONENTS, random_state=0)
    if method in COUNTS:
        precision = "bfloat16" if method.endswith("bfloat16") else "float32"
        return HashingAutoencoder(N_BITS, loss="multinomial", precision=precision, **SHARED)
    return Autoencoder(N_COMPONENTS, max_iter=n_epochs, **SHARED)


def probe(
    n_words: int, n_documents: int, data_dir: str | None, method: str, n_epochs: int | None = 10
) -> None:
    """Print seconds, memory and the explained share of the variance as a line of JSON."""
    warnings.simplefilter("ignore")
    counts, _, test_counts, _ = load_newsgroups(n_words, data_dir)
    X, new = counts[:n_documents], test_counts[:1000]
    if method in WEIGHTS:
        weights = TfidfTransformer(sublinear_tf=True).fit(X)
        X, new = weights.transform(X).astype(np.float32), weights.transform(new).astype(np.float32)
    n_bytes = X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
    rows: Any = X.toarray() if method.endswith("dense X") else X
    model = estimator(method, n_epochs)
    estimator(method, 1).set_params(n_components=2).fit(rows[:200, :50])
    begin = time.perf_counter(), time.process_time()
    above = peak_above(model.fit, rows)
    seconds, cpu_seconds = time.perf_counter() - begin[0], time.process_time() - begin[1]
    row = {
        "n_documents": X.shape[0],
        "x_mib": n_bytes / 2**20,
        "dense_mib": X.shape[0] * X.shape[1] * X.dtype.itemsize / 2**20,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "mib": above / 2**20,
        "whole_mib": resident("VmHWM") / 2**20,
        "r2": None if method in COUNTS else r2(model, X, new),
        "n_iter": None if method == "TruncatedSVD" else model.n_iter_,
        "selected": getattr(model, "selected_", None),
    }
    print(json.dumps(row))


def r2(model: Any, X: Any, new: Any) -> float:
    """Return the share of the variance of new rows that their reconstructions explain."""
    rest = total = 0.0
    mean = np.asarray(X.mean(axis=0)).ravel()
    for start in range(0, new.shape[0], 500):
        part = new[start : start + 500]
        dense = part.toarray()
        rest += float(np.square(dense - model.inverse_transform(model.transform(part))).sum())
        total += float(np.square(dense - mean).sum())
    return 1.0 - rest / total


SECTION = [
    "Fits to the {settings[words]} most frequent words in the training documents of 20 newsgroups, "
    "in float32: of `HashingAutoencoder` to their counts, with 32 bits and the loss "
    '"multinomial", and of all others to their tf-idf weights, with 100 components. R2 is that of '
    "1000 test documents. Memory is the peak of the fit, above the resident set before it and of "
    "the whole process; seconds are those of the clock and of the processor.",
    Table(
        "= method | documents = n_documents | epochs = n_iter | CSR X, MiB = x_mib:.0f | "
        "dense X, MiB = dense_mib:.0f | seconds | CPU seconds = cpu_seconds | "
        "above X, MiB = mib:.0f | process, MiB = whole_mib:.0f | R2 = r2 | = selected"
    ),
]

BENCHMARK = Benchmark(
    module="sparse_input",
    description=__doc__,
    cases=cases,
    measure=measure,
    settings=lambda options: {
        "words": options.words,
        "documents": options.documents,
        "n_components": N_COMPONENTS,
        "parameters": SHARED,
    },
    section=SECTION,
    runs=[
        Run(
            "sparse_input",
            "Sparse X",
            quick="--words 2000 --documents 2000 --methods TruncatedSVD Autoencoder --epochs 2",
        ),
        Run(
            "sparse_input_30000",
            "Sparse X of 30,000 words",
            arguments="--words 30000 --methods TruncatedSVD Autoencoder --epochs 1 10",
        ),
        Run(
            "sparse_input_hashing",
            "Hashes of sparse counts",
            arguments="--documents 4000 --methods HashingAutoencoder "
            "'HashingAutoencoder, bfloat16'",
        ),
    ],
    options={
        "--words": 10_000,
        "--documents": 11_314,
        "--methods": several((*WEIGHTS, *COUNTS), WEIGHTS),
        "--epochs": [10],
    },
)

if __name__ == "__main__":
    BENCHMARK.main()
