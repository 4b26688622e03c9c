"""Binary codes: retrieval by Hamming distance, speed of queries, and memory.

The precision at 100 is the share of the 100 nearest training rows that have the label of the
query.
"""

from __future__ import annotations

import importlib.util
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.neighbors import NearestNeighbors

from benchmarks.datasets import MNIST_TRAINING_ROWS, load_mnist, load_newsgroups
from benchmarks.runner import Benchmark, Options, Run, selected_parts, several
from benchmarks.tables import Row, Table
from benchmarks.timing import median_seconds, timed
from skae import HashingAutoencoder
from skae.inference.hamming import nearest, pack

N_NEIGHBORS = 100
N_QUERIES = 1000
WORDS = 2000
BITS = (32, 128)
# Noise level for each number of bits.
NOISE = {32: 8.0, 128: 16.0}
DOCUMENTS = {"loss": "multinomial", "dropout": 0.2, "max_iter": 30}
IMAGES = {"loss": "log_loss", "max_iter": 20}
SHORTENED = {"bits": 64, "queries": 200, "dropped": 0.1, "fewest_words": 20}
WIDE = {"rows": 10_000, "columns": 50_000, "words_a_row": 50}

Codes = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Split:
    """Training rows and queries of a data set, with labels."""

    name: str
    train: Any
    y: np.ndarray
    queries: Any
    query_y: np.ndarray


@cache
def newsgroups(data_dir: str | None, *, tf_idf: bool = True) -> Split:
    """Return the documents of 20 newsgroups as tf-idf weights or counts."""
    train, y, queries, query_y = load_newsgroups(WORDS, data_dir)
    if not tf_idf:
        return Split("20 newsgroups, counts", train, y, queries, query_y)
    weights = TfidfTransformer(sublinear_tf=True).fit(train)
    train, queries = weights.transform(train), weights.transform(queries)
    return Split("20 newsgroups, tf-idf", train, y, queries, query_y)


@cache
def mnist(data_dir: str | None) -> Split:
    """Return the images of MNIST."""
    (train, y), (queries, query_y) = load_mnist(MNIST_TRAINING_ROWS, data_dir)
    return Split("MNIST", train, y, queries, query_y)


def signs(train: np.ndarray, queries: np.ndarray) -> Codes:
    """Threshold both at the training medians, so that the bits are balanced."""
    medians = np.median(train, axis=0)
    return train > medians, queries > medians


def coders(
    split: Split, n_bits: int, seed: int, parameters: dict[str, Any]
) -> dict[str, Callable[[], Codes]]:
    """Return functions that compute the codes of training rows and queries."""
    train, queries = split.train, split.queries

    def random_hyperplanes() -> Codes:
        planes = np.random.default_rng(seed).normal(size=(train.shape[1], n_bits))
        return signs(train @ planes, queries @ planes)

    def principal_components() -> Codes:
        pca = TruncatedSVD(n_bits, random_state=seed) if is_sparse else PCA(n_bits)
        return signs(pca.fit_transform(train), pca.transform(queries))

    def learned(straight_through: bool) -> Codes:
        hashing = HashingAutoencoder(
            n_bits,
            noise_level=NOISE[n_bits],
            straight_through=straight_through,
            random_state=seed,
            **parameters,
        ).fit(train)
        return hashing.transform(train), hashing.transform(queries)

    is_sparse = not isinstance(train, np.ndarray)
    return {
        "random hyperplanes (LSH)": random_hyperplanes,
        "signs of TruncatedSVD (LSA)" if is_sparse else "signs of PCA": principal_components,
        "HashingAutoencoder": lambda: learned(False),
        "HashingAutoencoder, straight-through": lambda: learned(True),
    }


def retrieval(
    split: Split, parameters: dict[str, Any], seed: int, bits: Sequence[int] = BITS
) -> Iterator[Row]:
    """Compare the precision of codes with that of exact cosine neighbours."""

    def row(method: str, n_bits: int | None, indices: np.ndarray, **figures: Any) -> Row:
        precision = float((split.y[indices] == split.query_y[:, None]).mean())
        description = {"part": "retrieval", "set": split.name, "method": method}
        return {**description, "bits": n_bits, "precision": precision, **figures}

    exact = NearestNeighbors(n_neighbors=N_NEIGHBORS, metric="cosine", algorithm="brute")
    indices = exact.fit(split.train).kneighbors(split.queries, return_distance=False)
    yield row("exact cosine", None, indices, least_ones=None, most_ones=None, seconds=None)
    for n_bits in bits:
        for method, compute in coders(split, n_bits, seed, parameters).items():
            (code, query_code), seconds = timed(compute)
            indices = nearest(pack(query_code), pack(code), N_NEIGHBORS)[1]
            shares = query_code.mean(axis=0)
            balance = {"least_ones": float(shares.min()), "most_ones": float(shares.max())}
            yield row(method, n_bits, indices, **balance, seconds=seconds)


def shortened_queries(split: Split, seed: int) -> Iterator[Row]:
    """Measure how often a training document without a tenth of its words finds itself first."""
    random = np.random.default_rng(seed)
    train = csr_array(split.train)
    long_enough = np.flatnonzero(np.diff(train.indptr) >= SHORTENED["fewest_words"])
    chosen = random.choice(long_enough, SHORTENED["queries"], replace=False)
    queries = train[chosen]
    queries.data *= random.random(queries.nnz) >= SHORTENED["dropped"]
    queries.eliminate_zeros()

    def random_hyperplanes() -> Codes:
        planes = random.normal(size=(train.shape[1], SHORTENED["bits"]))
        return signs(train @ planes, queries @ planes)

    def learned() -> Codes:
        hashing = HashingAutoencoder(SHORTENED["bits"], loss="multinomial", random_state=seed)
        return hashing.fit_transform(train), hashing.transform(queries)

    methods = {"random hyperplanes (LSH)": random_hyperplanes, "HashingAutoencoder": learned}
    for method, compute in methods.items():
        (code, query_code), seconds = timed(compute)
        found = nearest(pack(query_code), pack(code), 1)[1][:, 0]
        first = float((found == chosen).mean())
        description = {"part": "shortened", "set": split.name, "method": method}
        yield {**description, "first": first, "seconds": seconds}


def query_speed(split: Split) -> Iterator[Row]:
    """Time queries for 100 neighbours, all methods in turn."""
    train, queries = split.train, split.queries[:N_QUERIES]
    cosine = NearestNeighbors(n_neighbors=N_NEIGHBORS, metric="cosine", algorithm="brute")
    cosine.fit(train)
    functions: dict[str, Callable[[], Any]] = {
        "cosine, brute force": lambda: cosine.kneighbors(queries)
    }
    for n_bits in BITS:
        hashing = HashingAutoencoder(n_bits, max_iter=1, random_state=0).fit(train)
        hashes = hashing.hash(queries)
        functions[f"kneighbors, {n_bits} bits"] = lambda h=hashing: h.kneighbors(
            queries, N_NEIGHBORS
        )
        functions[f"its look-up alone, {n_bits} bits"] = lambda h=hashing, q=hashes: nearest(
            q, h.hashes_, N_NEIGHBORS
        )
        if importlib.util.find_spec("faiss"):
            import faiss

            index = faiss.IndexBinaryFlat(n_bits)
            index.add(hashing.hashes_)
            functions[f"faiss look-up, {n_bits} bits"] = lambda i=index, q=hashes: i.search(
                q, N_NEIGHBORS
            )
    medians = median_seconds(functions, repeats=5)
    for name, median in medians.items():
        yield {
            "part": "look-ups",
            "set": split.name,
            "rows": train.shape[0],
            "way": name,
            "per_second": N_QUERIES / median,
            "over_cosine": medians["cosine, brute force"] / median,
        }


def peak_memory(options: Options) -> list[Row]:
    """Return the peak memory of a process that fits a wide sparse matrix."""
    code = "from benchmarks.hashing import fit_wide; fit_wide()"
    process = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    before, peak = map(float, process.stdout.split())
    dense = WIDE["rows"] * WIDE["columns"] * 4 / 2**20
    figures = {"dense_float32_mib": dense, "before_fit_mib": before, "peak_mib": peak}
    return [{"part": "memory", **WIDE, **figures}]


def fit_wide() -> None:
    """Print the peak memory of this process before and after a fit, in MiB."""
    shape = (WIDE["rows"], WIDE["columns"])
    # scipy.sparse.random_array needs more memory than the fit.
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


def documents(options: Options) -> Iterator[Row]:
    yield from retrieval(newsgroups(options.data_dir), DOCUMENTS, options.seed)
    counts = newsgroups(options.data_dir, tf_idf=False)
    yield from retrieval(counts, DOCUMENTS, options.seed, (32,))


def images(options: Options) -> Iterator[Row]:
    yield from retrieval(mnist(options.data_dir), IMAGES, options.seed)


def shortened(options: Options) -> Iterator[Row]:
    for tf_idf in (True, False):
        yield from shortened_queries(newsgroups(options.data_dir, tf_idf=tf_idf), options.seed)


def look_ups(options: Options) -> Iterator[Row]:
    yield from query_speed(newsgroups(options.data_dir))
    yield from query_speed(mnist(options.data_dir))


PARTS = {
    "documents": documents,
    "images": images,
    "shortened": shortened,
    "look-ups": look_ups,
    "memory": peak_memory,
}
SECTION = [
    Table(
        "= set | = method | bits | precision at 100 = precision | "
        "rarest bit = least_ones | commonest bit = most_ones | "
        "fit and codes, s = seconds",
        part="retrieval",
        caption="Precision at 100: the share of the 100 nearest training rows, by Hamming "
        "distance, that have the label of the test row. The shares of ones are over the test rows. "
        "20 newsgroups: 11,314 training documents, 7532 queries, the {settings[words]} most "
        "frequent words; MNIST: 60,000 and 10,000.",
    ),
    Table(
        "= set | rows | = way | queries a second = per_second | "
        "over brute-force cosine = over_cosine",
        part="look-ups",
        caption="Queries for 100 neighbours, all methods in turn:",
    ),
    Table(
        "= set | = method | found first = first | fit and codes, s = seconds",
        part="shortened",
        caption="Share of {settings[shortened][queries]} training documents that are nearest to a "
        "copy of themselves without a tenth of its words, among all training documents, by "
        "{settings[shortened][bits]} bits; `HashingAutoencoder` as in the README.",
    ),
    Table(
        "rows | columns | entries a row = words_a_row | "
        "X, were it dense (MiB) = dense_float32_mib | "
        "peak before the fit (MiB) = before_fit_mib | "
        "peak of fit, score and look-up (MiB) = peak_mib",
        part="memory",
        caption="Peak memory of a process that fits `HashingAutoencoder` to a wide CSR matrix.",
    ),
]

BENCHMARK = Benchmark(
    module="hashing",
    description=__doc__,
    cases=selected_parts,
    measure=lambda options, part: PARTS[part](options),
    settings=lambda options: {
        "documents": DOCUMENTS,
        "images": IMAGES,
        "noise_level": NOISE,
        "shortened": SHORTENED,
        "words": WORDS,
    },
    section=SECTION,
    runs=[
        Run("hashing", "Binary codes", quick="--parts look-ups"),
        Run("hashing_shortened", "Binary codes, shortened queries", "--parts shortened"),
        Run("hashing_memory", "Binary codes, memory with sparse X", "--parts memory"),
    ],
    options={"--parts": several(PARTS, ("documents", "images", "look-ups"))},
)

if __name__ == "__main__":
    BENCHMARK.main()
