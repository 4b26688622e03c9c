"""Peak memory above X of fit, score and transform, in multiples of the size of X.

That of sparse X is in multiples of its entries, and far below the size of the same X as an array.
"""

from __future__ import annotations

import ctypes
import gc
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from skae import Autoencoder

# A call may take this much whatever the size of X: parts of the rows, the network, fragments.
CONSTANT = 40 * 2**20
PROMISED = {"fit": 2.2, "score": 1.2, "transform": 0.0}
CASES = [("C", "float64"), ("F", "float32"), ("map", "float32")]
# Rows and columns of sparse X, with four entries in a row.
SPARSE_SHAPE = (2**18, 200)
SPARSE_PROMISED = {"fit": 8.0, "score": 2.0, "transform": 2.0}


def status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024


def measure(folder: str) -> None:
    """Print layout, dtype, method, bytes above X and bytes of X; runs in a process of its own."""

    def estimator() -> Autoencoder:
        return Autoencoder(2, hidden_layer_sizes=(8,), max_iter=1, batch_size=4096)

    random = np.random.default_rng(0)
    small = random.standard_normal((100, 20))
    estimator().fit(small).score(small)  # lazy imports
    for layout, dtype in CASES:
        columns = 800 // np.dtype(dtype).itemsize
        X = np.empty((2**16, columns), dtype, order="F" if layout == "F" else "C")
        for start in range(0, len(X), 4096):
            X[start : start + 4096] = random.standard_normal((4096, columns), np.float32)
        if layout == "map":
            np.save(f"{folder}/X.npy", X)
            X = np.load(f"{folder}/X.npy", mmap_mode="r")
            X.sum()  # its pages are resident from here on
        report(estimator(), X, X.nbytes, layout, dtype)
    del X
    n_rows, columns = SPARSE_SHAPE
    quarter = columns // 4
    places = random.integers(quarter, size=(n_rows, 4)) + quarter * np.arange(4)
    parts = random.random(places.size, np.float32), places.ravel(), np.arange(0, places.size + 1, 4)
    sparse = csr_array(parts, shape=SPARSE_SHAPE)
    estimator().fit(sparse[:100])
    report(estimator(), sparse, sparse.data.nbytes + sparse.indices.nbytes, "CSR", "float32")


def report(model: Autoencoder, X: Any, n_bytes: int, layout: str, dtype: str) -> None:
    for method in PROMISED:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # or the call would find freed memory to use
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        before = status("VmRSS")
        getattr(model, method)(X)
        print(layout, dtype, method, status("VmHWM") - before, n_bytes)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    if not Path("/proc/self/clear_refs").exists() or platform.libc_ver()[0] != "glibc":
        pytest.skip("Only Linux resets the peak of the resident set; malloc_trim is glibc's.")
    process = subprocess.run(
        [sys.executable, __file__, str(tmp_path_factory.mktemp("maps"))],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
    )
    rows = [line.split() for line in process.stdout.splitlines()]
    return {tuple(key): (int(above), int(size)) for *key, above, size in rows}


@pytest.mark.parametrize("method", PROMISED)
@pytest.mark.parametrize(("layout", "dtype"), CASES)
def test_peak_memory_is_as_promised(measured, layout, dtype, method):
    above, size = measured[layout, dtype, method]
    assert above <= PROMISED[method] * size + CONSTANT


@pytest.mark.parametrize("method", SPARSE_PROMISED)
def test_sparse_x_is_never_made_dense(measured, method):
    above, size = measured["CSR", "float32", method]
    promised = SPARSE_PROMISED[method] * size + CONSTANT
    assert above <= promised
    assert promised < 0.75 * 4 * np.prod(SPARSE_SHAPE)


if __name__ == "__main__":
    measure(sys.argv[1])
