"""Binary codes: what is found by Hamming distance, how fast, and in how much memory.

Precision at 100 is the share of the 100 nearest training rows that have the query's label.
"""

from __future__ import annotations

import argparse
import importlib.util
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.neighbors import NearestNeighbors

from benchmarks import record
from benchmarks.datasets import MNIST_TRAINING_ROWS, load, load_newsgroups
from benchmarks.timing import median_seconds
from skae import HashingAutoencoder
from skae._hamming import nearest, pack

N_NEIGHBORS = 100
WORDS = 2000
BITS = (32, 128)
# Noise that suits each number of bits: many bits carry much through little noise.
NOISE = {32: 8.0, 128: 16.0}
DOCUMENTS = {"loss": "multinomial", "dropout": 0.2, "max_iter": 30}
IMAGES = {"loss": "log_loss", "max_iter": 20}
WIDE = {"rows": 10_000, "columns": 50_000, "words_a_row": 50}

Sets = tuple[Any, np.ndarray, Any, np.ndarray]


def precision(indices: np.ndarray, y: np.ndarray, wanted: np.ndarray) -> float:
    return float((y[indices] == wanted[:, None]).mean())


def signs(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bits above the training medians: balanced, as ours are."""
    middle = np.median(train, axis=0)
    return train > middle, test > middle


def baselines(train: Any, test: Any, n_bits: int, seed: int) -> dict[str, Callable[[], Any]]:
    """Ways to bits that learn next to nothing."""

    def random_hyperplanes() -> tuple[np.ndarray, np.ndarray]:
        planes = np.random.default_rng(seed).normal(size=(train.shape[1], n_bits))
        return signs(train @ planes, test @ planes)

    def principal_signs() -> tuple[np.ndarray, np.ndarray]:
        svd = TruncatedSVD(n_bits, random_state=seed) if is_sparse else PCA(n_bits)
        return signs(svd.fit_transform(train), svd.transform(test))

    is_sparse = not isinstance(train, np.ndarray)
    name = "signs of TruncatedSVD (LSA)" if is_sparse else "signs of PCA"
    return {"random hyperplanes (LSH)": random_hyperplanes, name: principal_signs}


def retrieval(
    name: str, sets: Sets, settings: dict[str, Any], seed: int, bits: tuple[int, ...] = BITS
) -> list[dict[str, Any]]:
    """Compare codes by what their neighbours are."""
    train, y, test, wanted = sets
    rows: list[dict[str, Any]] = []

    def add(
        method: str, indices: np.ndarray, *, n_bits: int | None = None, **more: float | None
    ) -> None:
        found = {"bits": n_bits, "precision": precision(indices, y, wanted), **more}
        rows.append({"part": "retrieval", "set": name, "method": method, **found})
        print(rows[-1], flush=True)

    exact = NearestNeighbors(n_neighbors=N_NEIGHBORS, metric="cosine", algorithm="brute")
    nothing = dict.fromkeys(("least_ones", "most_ones", "seconds"))
    add("exact cosine", exact.fit(train).kneighbors(test, return_distance=False), **nothing)
    for n_bits in bits:
        ways = baselines(train, test, n_bits, seed)
        for straight_through in (False, True):
            hashing = HashingAutoencoder(
                n_bits,
                noise_level=NOISE[n_bits],
                straight_through=straight_through,
                random_state=seed,
                **settings,
            )

            def learned(hashing: HashingAutoencoder = hashing) -> tuple[np.ndarray, np.ndarray]:
                return hashing.fit(train).transform(train), hashing.transform(test)

            rounded = ", straight-through" if straight_through else ""
            ways[f"HashingAutoencoder{rounded}"] = learned
        for method, codes in ways.items():
            start = time.perf_counter()
            code, test_code = codes()
            seconds = time.perf_counter() - start
            indices = nearest(pack(test_code), pack(code), N_NEIGHBORS)[1]
            shares = test_code.mean(axis=0)
            balance = {"least_ones": float(shares.min()), "most_ones": float(shares.max())}
            add(method, indices, n_bits=n_bits, **balance, seconds=seconds)
    return rows


def look_ups(name: str, sets: Sets, n_queries: int, repeats: int = 5) -> list[dict[str, Any]]:
    """Time queries for 100 neighbours, the ways taking turns."""
    train, _, test, _ = sets
    test = test[:n_queries]
    cosine = NearestNeighbors(n_neighbors=N_NEIGHBORS, metric="cosine", algorithm="brute")
    cosine.fit(train)
    ways: dict[str, Callable[[], Any]] = {"cosine, brute force": lambda: cosine.kneighbors(test)}
    for n_bits in BITS:
        hashing = HashingAutoencoder(n_bits, max_iter=1, random_state=0).fit(train)
        hashes = hashing.hash(test)
        ways[f"kneighbors, {n_bits} bits"] = lambda h=hashing: h.kneighbors(test, N_NEIGHBORS)
        ways[f"its look-up alone, {n_bits} bits"] = lambda h=hashing, q=hashes: nearest(
            q, h.hashes_, N_NEIGHBORS
        )
        if importlib.util.find_spec("faiss"):
            import faiss

            index = faiss.IndexBinaryFlat(n_bits)
            index.add(hashing.hashes_)
            ways[f"faiss look-up, {n_bits} bits"] = lambda i=index, q=hashes: i.search(
                q, N_NEIGHBORS
            )
    medians = median_seconds(ways, repeats)
    slowest = medians["cosine, brute force"]
    rows = [
        {
            "part": "look-ups",
            "set": name,
            "rows": train.shape[0],
            "way": way,
            "per_second": n_queries / median,
            "over_cosine": slowest / median,
        }
        for way, median in medians.items()
    ]
    print(record.table(rows), flush=True)
    return rows


def peak_memory() -> dict[str, Any]:
    """Fit a wide sparse matrix in a process of its own, and read its peak memory."""
    code = "from benchmarks.hashing import fit_wide; fit_wide()"
    answer = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    before, peak = map(float, answer.stdout.split())
    row = {
        "part": "memory",
        **WIDE,
        "dense_float32_mib": WIDE["rows"] * WIDE["columns"] * 4 / 2**20,
        "before_fit_mib": before,
        "peak_mib": peak,
    }
    print(row, flush=True)
    return row


def fit_wide() -> None:
    """Print this process's peak memory before and after a fit, in MiB."""
    shape = (WIDE["rows"], WIDE["columns"])
    # scipy's own random matrices take more memory than the fit.
    columns = np.random.default_rng(0).integers(shape[1], size=(shape[0], WIDE["words_a_row"]))
    starts = np.arange(0, columns.size + 1, WIDE["words_a_row"])
    X = csr_array((np.ones(columns.size, np.float32), columns.ravel(), starts), shape=shape)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    hashing = HashingAutoencoder(
        32, loss="multinomial", hidden_layer_sizes=(64,), max_iter=1, random_state=0
    ).fit(X)
    hashing.score(X)
    hashing.kneighbors(X[:100])
    print(before / 1024, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", default=["documents", "images", "look-ups"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data-dir")
    parser.add_argument("--name", default="hashing")
    arguments = parser.parse_args()
    counts, y, test_counts, test_y = load_newsgroups(WORDS, arguments.data_dir)
    weights = TfidfTransformer(sublinear_tf=True).fit(counts)
    documents = (weights.transform(counts), y, weights.transform(test_counts), test_y)
    X, labels = load("mnist", arguments.data_dir)
    first = slice(MNIST_TRAINING_ROWS)
    images = (X[first], labels[first], X[MNIST_TRAINING_ROWS:], labels[MNIST_TRAINING_ROWS:])
    rows: list[dict[str, Any]] = []
    if "documents" in arguments.parts:
        rows += retrieval("20 newsgroups, tf-idf", documents, DOCUMENTS, arguments.seed)
        raw = (counts, y, test_counts, test_y)
        rows += retrieval("20 newsgroups, counts", raw, DOCUMENTS, arguments.seed, (32,))
    if "images" in arguments.parts:
        rows += retrieval("MNIST", images, IMAGES, arguments.seed)
    if "look-ups" in arguments.parts:
        rows += look_ups("20 newsgroups, tf-idf", documents, 1000)
        rows += look_ups("MNIST", images, 1000)
    if "memory" in arguments.parts:
        rows.append(peak_memory())
    print(record.tables(rows))
    path = record.write(
        arguments.name,
        rows,
        {},
        seeds=[arguments.seed],
        settings={"documents": DOCUMENTS, "images": IMAGES, "noise_level": NOISE, "words": WORDS},
    )
    print(f"Written to {path.name}.")


if __name__ == "__main__":
    main()
