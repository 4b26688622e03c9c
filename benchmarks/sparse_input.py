"""Sparse X: time and peak memory of a fit to tf-idf weights of documents.

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
from benchmarks.memory import peak_above
from benchmarks.runner import Benchmark, Case, Options, Run, several
from benchmarks.tables import Row, Table
from skae import Autoencoder

METHODS = ("TruncatedSVD", "Autoencoder", "Autoencoder, dense X")
N_COMPONENTS = 100
PARAMETERS = {"max_iter": 10, "random_state": 0, "device": "cpu"}


def cases(options: Options) -> Iterator[Case]:
    """Yield every method."""
    for method in options.methods:
        yield {"method": method}


def measure(options: Options, method: str) -> Iterator[Row]:
    """Run a case in a process of its own."""
    arguments = (options.words, options.documents, options.data_dir, method)
    code = f"from benchmarks.sparse_input import probe; probe{arguments}"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT_ROOT
    )
    if process.returncode:
        raise RuntimeError(process.stderr.strip().splitlines()[-1])
    yield {"method": method, **json.loads(process.stdout)}


def probe(n_words: int, n_documents: int, data_dir: str | None, method: str) -> None:
    """Print seconds, memory and the explained share of the variance as a line of JSON."""
    warnings.simplefilter("ignore")
    counts, _, test_counts, _ = load_newsgroups(n_words, data_dir)
    weights = TfidfTransformer(sublinear_tf=True).fit(counts[:n_documents])
    X, new = weights.transform(counts[:n_documents]), weights.transform(test_counts)[:1000]
    X, new = X.astype(np.float32), new.astype(np.float32)
    n_bytes = X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
    rows: Any = X.toarray() if method == "Autoencoder, dense X" else X
    model: Any = TruncatedSVD(N_COMPONENTS, random_state=0)
    if method != "TruncatedSVD":
        model = Autoencoder(N_COMPONENTS, **PARAMETERS)
    type(model)(2).fit(rows[:200, :50])
    begin = time.perf_counter()
    above = peak_above(model.fit, rows)
    seconds = time.perf_counter() - begin
    dense, mean = new.toarray(), np.asarray(X.mean(axis=0)).ravel()
    restored = model.inverse_transform(model.transform(new))
    row = {
        "x_mib": n_bytes / 2**20,
        "dense_mib": X.shape[0] * X.shape[1] * X.dtype.itemsize / 2**20,
        "seconds": seconds,
        "mib": above / 2**20,
        "r2": float(1.0 - np.square(dense - restored).sum() / np.square(dense - mean).sum()),
        "selected": getattr(model, "selected_", None),
    }
    print(json.dumps(row))


SECTION = [
    "Fits with 100 components to the tf-idf weights of the {settings[words]} most frequent words "
    "in the training documents of 20 newsgroups, in float32. R2 is that of 1000 test documents. "
    "Memory is the peak above the resident set before the fit.",
    Table(
        "= method | CSR X, MiB = x_mib:.0f | dense X, MiB = dense_mib:.0f | seconds | "
        "above X, MiB = mib:.0f | R2 = r2 | = selected"
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
        "parameters": PARAMETERS,
    },
    section=SECTION,
    runs=[
        Run(
            "sparse_input",
            "Sparse X",
            quick="--words 2000 --documents 2000 --methods TruncatedSVD Autoencoder",
        )
    ],
    options={"--words": 10_000, "--documents": 11_314, "--methods": several(METHODS)},
)

if __name__ == "__main__":
    BENCHMARK.main()
