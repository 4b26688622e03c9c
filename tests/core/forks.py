"""What forked processes compute, where torch has filled its pool of threads in their parent.

``OMP_NUM_THREADS=2 python tests/core/forks.py [name ...]`` runs some or all of the cases below. It
prints the name of each that ends as it should; a case may also never end.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import sys
import threading
from collections.abc import Callable
from urllib.request import urlopen
from wsgiref.simple_server import WSGIRequestHandler, make_server

import numpy as np
import torch
from joblib import Parallel, delayed, parallel_config
from sklearn.model_selection import GridSearchCV, cross_val_score

N_THREADS = 2
torch.ones(300, 300) @ torch.ones(300, 300)  # fills the pool before skae is imported

from skae import Autoencoder, VariationalAutoencoder  # noqa: E402
from skae.core import numerics  # noqa: E402

X = np.random.default_rng(0).normal(size=(600, 64))
SMALL = {"operations": 1.0, "precision": "float32", "device": torch.device("cpu")}
LARGE = {**SMALL, "operations": 1e15}


def fit() -> Autoencoder:
    return Autoencoder(4, hidden_layer_sizes=(64,), max_iter=2, random_state=0).fit(X)


model = fit()
codes = model.transform(X)


def computes_the_same(_: object = None) -> bool:
    return bool(
        torch.get_num_threads() == 1
        and np.allclose(model.transform(X), codes)
        and np.allclose(fit().transform(X), codes)
        and torch.get_num_threads() == 1
    )


def in_child(function: Callable[[], bool]) -> bool:
    process = os.fork()
    if not process:
        os._exit(0 if function() else 1)
    return os.waitpid(process, 0)[1] == 0


def in_thread(function: Callable[[], bool]) -> bool:
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found == [True]


def child() -> None:
    assert in_child(computes_the_same)


def grandchild() -> None:
    assert in_child(lambda: in_child(computes_the_same))


def threads() -> None:
    assert in_child(lambda: in_thread(computes_the_same))
    assert in_thread(lambda: in_child(computes_the_same))


def first_fit_in_child() -> None:
    assert in_child(lambda: VariationalAutoencoder(4, max_iter=1).fit(X).score(X) < 0)


def pool() -> None:
    with multiprocessing.get_context("fork").Pool(2) as workers:
        assert workers.map(computes_the_same, range(2)) == [True, True]


def large_steps_take_one_thread() -> bool:
    with numerics.training_numerics(**LARGE):
        return torch.get_num_threads() == 1


def fork_within_a_fit() -> None:
    for settings in (SMALL, LARGE):
        within = numerics.training_numerics(**settings)
        within.__enter__()

        def leave(within=within) -> bool:
            within.__exit__(None, None, None)
            return large_steps_take_one_thread() and computes_the_same()

        assert in_child(leave)
        within.__exit__(None, None, None)
        assert torch.get_num_threads() == N_THREADS


def fork_beside_a_fit() -> None:
    """One fit runs in another thread, and one is about to begin."""
    is_running, may_end = threading.Event(), threading.Event()

    def run() -> None:
        with numerics.training_numerics(**SMALL):
            is_running.set()
            may_end.wait()

    thread = threading.Thread(target=run)
    thread.start()
    is_running.wait()
    with numerics._lock:
        process = os.fork()
        if not process:
            os._exit(0 if large_steps_take_one_thread() and computes_the_same() else 1)
    may_end.set()
    thread.join()
    assert os.waitpid(process, 0)[1] == 0
    assert torch.get_num_threads() == N_THREADS


def joblib() -> None:
    with parallel_config("multiprocessing", n_jobs=2):
        parts = Parallel()(delayed(model.transform)(part) for part in (X[:300], X[300:]))
        scores = cross_val_score(model, X, cv=2)
        search = GridSearchCV(model, {"n_components": [2, 4]}, cv=2).fit(X)
    np.testing.assert_allclose(np.concatenate(parts), codes)
    np.testing.assert_allclose(scores, cross_val_score(model, X, cv=2))
    np.testing.assert_allclose(search.cv_results_["mean_test_score"][1], scores.mean())


def preloading_server() -> None:
    """A master process loads a model, tries it and forks the workers that answer."""
    served = pickle.loads(pickle.dumps(model))
    served.transform(X)

    def application(environ, start_response):
        rows = np.frombuffer(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        answer = {"codes": served.transform(rows.reshape(-1, 64)).tolist(), "worker": os.getpid()}
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(answer).encode()]

    class QuietHandler(WSGIRequestHandler):
        def log_message(self, *args):
            pass

    with make_server("127.0.0.1", 0, application, handler_class=QuietHandler) as server:
        workers = []
        for _ in range(2):
            worker = os.fork()
            if not worker:
                server.handle_request()
                os._exit(0)
            workers.append(worker)
        answered = []
        for rows in (X, X[:1]):
            url = f"http://127.0.0.1:{server.server_port}"
            with urlopen(url, data=rows.tobytes()) as response:
                answer = json.load(response)
            np.testing.assert_allclose(answer["codes"], codes[: len(rows)])
            answered.append(answer["worker"])
    assert sorted(answered) == sorted(workers)
    assert all(os.waitpid(worker, 0)[1] == 0 for worker in workers)


CASES = [
    child,
    grandchild,
    threads,
    first_fit_in_child,
    pool,
    fork_within_a_fit,
    fork_beside_a_fit,
    joblib,
    preloading_server,
]

if __name__ == "__main__":
    names = sys.argv[1:]
    for case in CASES:
        if not names or case.__name__ in names:
            case()
            print(case.__name__, flush=True)
