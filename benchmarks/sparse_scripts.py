"""Two scripts whose decomposition is replaced by an autoencoder: documents and single cells.

Documents: tf-idf weights of 20 newsgroups, `TruncatedSVD(100)`, and a logistic regression on the
standardised code. Cells: log counts per 10,000 of the 2000 most variable genes of pbmc3k,
`PCA(50)`, and the cell types of the five nearest neighbours on the code. Both X are sparse, and all
parameters of the autoencoder but the size are the defaults. R2 and accuracy are those of rows that
no fit has seen: the test documents, and a fifth of the cells. Each case runs in a process of its
own, as in `benchmarks.sparse_input`. Linux only.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.datasets import load, load_newsgroups
from benchmarks.memory import peak_above
from benchmarks.runner import Benchmark, Case, Options, Run, several
from benchmarks.sparse_input import in_own_process, r2
from benchmarks.tables import Row, Table
from skae import Autoencoder

METHODS = {"newsgroups": ("TruncatedSVD", "Autoencoder"), "pbmc3k": ("PCA", "Autoencoder")}
SIZES = {"newsgroups": 100, "pbmc3k": 50}

Parts = tuple[Any, Any, NDArray, NDArray]


def cases(options: Options) -> Iterator[Case]:
    """Yield the decomposition and the autoencoder of each script."""
    for script in options.scripts:
        for method in METHODS[script]:
            yield {"script": script, "method": method}


def measure(options: Options, script: str, method: str) -> Row:
    """Run a case in a process of its own."""
    arguments = (script, method, options.words, options.data_dir, options.seed)
    return in_own_process("benchmarks.sparse_scripts", *arguments)


def rows_of(script: str, n_words: int, data_dir: str | None, seed: int) -> Parts:
    """Return training rows and new rows, as CSR in float32, and their labels."""
    if script == "newsgroups":
        counts, y, new_counts, new_y = load_newsgroups(n_words, data_dir)
        weights = TfidfTransformer(sublinear_tf=True).fit(counts)
        X, new = (weights.transform(part).astype(np.float32) for part in (counts, new_counts))
        return X, new, y, new_y
    cells, types = load("pbmc3k", data_dir)
    # Some cells have no type. They are fitted, as in a script that does not know the types.
    X, new, y, new_y = train_test_split(csr_array(cells), types, test_size=0.2, random_state=seed)
    return X, new, y, new_y


def model_of(script: str, method: str, seed: int) -> Any:
    """Return the decomposition or the autoencoder."""
    if method == "Autoencoder":
        return Autoencoder(SIZES[script], random_state=seed, device="cpu")
    cls = {"TruncatedSVD": TruncatedSVD, "PCA": PCA}[method]
    return cls(SIZES[script], random_state=seed)


def accuracy(script: str, codes: NDArray, y: NDArray, new_codes: NDArray, new_y: NDArray) -> float:
    """Return the accuracy of the script's classifier on new codes."""
    if script == "newsgroups":
        classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    else:
        classifier = KNeighborsClassifier(5)
    known, new_known = (labels.astype(str) != "NA" for labels in (y, new_y))
    return float(
        classifier.fit(codes[known], y[known]).score(new_codes[new_known], new_y[new_known])
    )


def probe(script: str, method: str, n_words: int, data_dir: str | None, seed: int) -> None:
    """Print what a script shows with a method as a line of JSON."""
    warnings.simplefilter("ignore")
    X, new, y, new_y = rows_of(script, n_words, data_dir, seed)
    model = model_of(script, method, seed)
    model_of(script, method, seed).set_params(n_components=2).fit(X[:200, :50])
    begin = time.perf_counter(), time.process_time()
    above = peak_above(model.fit, X)
    seconds, cpu_seconds = time.perf_counter() - begin[0], time.process_time() - begin[1]
    begin_transform = time.perf_counter()
    codes = model.transform(X), model.transform(new)
    transform_seconds = time.perf_counter() - begin_transform
    row = {
        "n_rows": X.shape[0],
        "n_columns": X.shape[1],
        "n_components": SIZES[script],
        "x_mib": (X.data.nbytes + X.indices.nbytes + X.indptr.nbytes) / 2**20,
        "r2": r2(model, X, new),
        "accuracy": accuracy(script, codes[0], y, codes[1], new_y),
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "transform_seconds": transform_seconds,
        "mib": above / 2**20,
        "n_iter": getattr(model, "n_iter_", None),
        "selected": getattr(model, "selected_", None),
    }
    print(json.dumps(row))


SECTION = [
    "Documents: tf-idf weights of {settings[words]} words in 20 newsgroups, 100 components, and "
    "the test accuracy of a logistic regression on the standardised code. Cells: log counts of "
    "the 2000 most variable genes of pbmc3k, 50 components, and the accuracy of the cell types of "
    "the five nearest training cells. X is sparse and in float32. R2 and accuracy are those of "
    "rows that no fit has seen. Memory is the peak of `fit` above the resident set before it; "
    "seconds are those of the clock and of the processor.",
    Table(
        "= script | = method | rows = n_rows | columns = n_columns | R2 = r2 | accuracy | "
        "seconds | CPU seconds = cpu_seconds | transform, seconds = transform_seconds | "
        "X, MiB = x_mib:.0f | above X, MiB = mib:.0f | epochs = n_iter | = selected"
    ),
]

BENCHMARK = Benchmark(
    module="sparse_scripts",
    description=__doc__,
    cases=cases,
    measure=measure,
    settings=lambda options: {"words": options.words},
    section=SECTION,
    runs=[
        Run("sparse_scripts", "Two scripts with sparse X", quick="--words 2000 --scripts pbmc3k")
    ],
    options={"--words": 10_000, "--scripts": several(METHODS)},
)

if __name__ == "__main__":
    BENCHMARK.main()
