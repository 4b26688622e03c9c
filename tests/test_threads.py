"""Small computations run on one thread, large ones on all, and the counts are left as found."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from instances import make_fast
from threadpoolctl import threadpool_info

from skae import (
    Autoencoder,
    DenoisingAutoencoder,
    VariationalAutoencoder,
)
from skae.core import model as model_module
from skae.core import numerics
from skae.core.networks.dense import MLP
from skae.fitting import pca_init

CALLS = {
    "transform": lambda fitted, X: fitted.transform(X),
    "inverse_transform": lambda fitted, X: fitted.inverse_transform(X[:, :2]),
    "reconstruct": lambda fitted, X: fitted.reconstruct(X),
    "reconstruction_error": lambda fitted, X: fitted.reconstruction_error(X),
    "score": lambda fitted, X: fitted.score(X),
    "score_samples": lambda fitted, X: fitted.score_samples(X),
    "fit": lambda fitted, X: fitted.fit(X),
    "partial_fit": lambda fitted, X: fitted.partial_fit(X),
}
OTHERS = {
    "density": (VariationalAutoencoder, lambda fitted, X: fitted.score_samples(X)),
    "posterior": (VariationalAutoencoder, lambda fitted, X: fitted.encode_distribution(X)),
    "chain": (DenoisingAutoencoder, lambda fitted, X: fitted.sample(20, random_state=0)),
}


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def seen(monkeypatch, two_threads):
    """Note the number of threads in each pass through an encoder or a decoder."""
    counts: set[int] = set()
    hidden = MLP.hidden

    def noting(self, x):
        counts.add(torch.get_num_threads())
        return hidden(self, x)

    monkeypatch.setattr(MLP, "hidden", noting)
    return counts


def fitted(cls=Autoencoder):
    X = np.random.default_rng(0).normal(size=(60, 8)) @ np.diag(np.arange(1.0, 9.0))
    with numerics.threads_for(0):
        return make_fast(cls, 2, early_stopping=False).fit(X), X


@pytest.mark.parametrize("name", CALLS)
def test_small_calls_run_on_one_thread(seen, name):
    estimator, X = fitted()
    seen.clear()
    CALLS[name](estimator, X)
    assert seen == {1}
    assert torch.get_num_threads() == 2


# Parts of a large `transform` run on Python threads, see below.
@pytest.mark.parametrize("name", [name for name in CALLS if name != "transform"])
def test_large_calls_run_on_all_threads(seen, name, monkeypatch):
    estimator, X = fitted()
    seen.clear()
    monkeypatch.setattr(numerics, "SMALL_STEP", 0)
    CALLS[name](estimator, X)
    assert 2 in seen
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("name", OTHERS)
def test_other_methods_choose_by_size_too(seen, name, monkeypatch):
    cls, call = OTHERS[name]
    estimator, X = fitted(cls)
    seen.clear()
    call(estimator, X)
    assert seen == {1}
    monkeypatch.setattr(numerics, "SMALL_STEP", 0)
    call(estimator, X)
    assert seen == {1, 2}
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("name", CALLS)
def test_the_count_is_left_as_found_after_an_error(two_threads, name, large, monkeypatch):
    estimator, X = fitted()

    def broken(self, x):
        raise ZeroDivisionError

    monkeypatch.setattr(MLP, "hidden", broken)
    if large:
        monkeypatch.setattr(numerics, "SMALL_STEP", 0)
    with pytest.raises(ZeroDivisionError):
        CALLS[name](estimator, X)
    assert torch.get_num_threads() == 2


def test_the_bits_of_small_fits_do_not_depend_on_the_threads_there_are(two_threads):
    found = []
    X = np.random.default_rng(0).normal(size=(400, 30)) ** 3
    for n_threads in (1, 2):
        torch.set_num_threads(n_threads)
        estimator = Autoencoder(4, max_iter=3, random_state=0).fit(X)
        found.append(
            [
                estimator.components_,
                *(
                    CALLS[name](estimator, X)
                    for name in ("transform", "reconstruct", "reconstruction_error", "score")
                ),
            ]
        )
    for one, two in zip(*found, strict=True):
        assert np.array_equal(one, two)


# -- parts on Python's threads ------------------------------------------------------------------


@pytest.fixture
def parts(monkeypatch, two_threads):
    """Refine codes in parts of 16 rows; note the threads that do."""
    threads = []
    refine = model_module.refine

    def noting(*args, **settings):
        threads.append((threading.get_ident(), torch.get_num_threads()))
        return refine(*args, **settings)

    monkeypatch.setattr(model_module, "refine", noting)
    monkeypatch.setattr(model_module, "_MAX_PART", 16)
    return threads


@pytest.mark.parametrize("loss", ["squared_error", "huber", "poisson"])
def test_parts_have_a_thread_each_and_the_same_bits(parts, loss, monkeypatch):
    X = np.random.default_rng(0).poisson(3.0, size=(60, 8)).astype(float)
    estimator = make_fast(Autoencoder, 2, early_stopping=False, loss=loss).fit(X)
    parts.clear()
    small = estimator.transform(X)
    assert set(parts) == {(threading.get_ident(), 1)}
    parts.clear()
    monkeypatch.setattr(numerics, "SMALL_STEP", 0)
    monkeypatch.setattr(
        model_module, "threads_for", lambda n, *size: numerics.threads_for(n - 1, *size)
    )
    assert np.array_equal(estimator.transform(X), small)
    assert len(parts) == 4
    assert {n_threads for _, n_threads in parts} == {1}
    assert threading.get_ident() not in dict(parts)
    assert torch.get_num_threads() == 2


def test_an_error_in_a_part_reaches_the_caller(parts, monkeypatch):
    estimator, X = fitted()

    def broken(*args, **settings):
        raise ZeroDivisionError

    monkeypatch.setattr(model_module, "refine", broken)
    monkeypatch.setattr(numerics, "SMALL_STEP", 0)
    with pytest.raises(ZeroDivisionError):
        estimator.transform(X)
    assert torch.get_num_threads() == 2


# -- BLAS ---------------------------------------------------------------------------------------


def blas_counts():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_small_decompositions_run_on_one_thread_of_blas():
    before = blas_counts()
    with pca_init.blas_threads_for(np.ones((100, 10))):
        assert set(blas_counts()) == {1}
    assert blas_counts() == before
    with pca_init.blas_threads_for(np.broadcast_to(1.0, (10**6, 10**3))):
        assert blas_counts() == before
    with pytest.raises(ZeroDivisionError), pca_init.blas_threads_for(np.ones((100, 10))):
        raise ZeroDivisionError
    assert blas_counts() == before


def test_fits_that_overlap_leave_the_count_of_blas():
    before = blas_counts()
    X = np.random.default_rng(0).normal(size=(300, 20))

    def fit():
        for _ in range(3):
            make_fast(Autoencoder, 2, max_iter=1).fit(X)

    threads = [threading.Thread(target=fit) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert blas_counts() == before


def test_transform_works_while_the_interpreter_shuts_down():
    """No thread can then start, so the parts are refined one after the other."""
    script = """
import threading, time
import numpy as np
import torch
from skae import Autoencoder
from skae.core import numerics

X = np.random.default_rng(0).normal(size=(600, 8))
model = Autoencoder(2, hidden_layer_sizes=(8,), max_iter=1, random_state=0).fit(X)
torch.set_num_threads(2)
numerics.SMALL_STEP = 0

def work():
    threading.main_thread().join()
    print(model.transform(X).shape)

threading.Thread(target=work).start()
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stdout == "(600, 2)\n", result.stderr
