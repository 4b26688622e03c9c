"""Callbacks follow each epoch of a fit, and may stop it."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from instances import ESTIMATORS, make_fast
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import Autoencoder, StackedAutoencoder

MAX_ITER = 4


class StopAt:
    """Ask to stop after a number of epochs; record the events."""

    def __init__(self, epoch: int | None = None) -> None:
        self.epoch = epoch
        self.events: list[str] = []
        self.fitted: list[Autoencoder] = []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.events.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.events.append(f"end {context.task_name}")
        self.fitted.append(fitted_estimator)
        return context.task_name == "epoch" and self.events.count("end epoch") == self.epoch


def autoencoder(**changes) -> Autoencoder:
    return make_fast(Autoencoder, max_iter=MAX_ITER, **changes)


def epoch_rows(monitor: ScoringMonitor) -> list[dict]:
    return [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]


def test_fit_is_a_task_of_epochs(iris):
    callback = StopAt()
    autoencoder().set_callbacks(callback).fit(iris)
    epochs = ["begin epoch", "end epoch"] * MAX_ITER
    assert callback.events == ["setup", "begin fit", *epochs, "end fit", "teardown"]


def test_an_epoch_that_diverges_is_closed(iris):
    callback = StopAt()
    model = autoencoder(solver="sgd", learning_rate_init=1e6).set_callbacks(callback)
    with pytest.warns(ConvergenceWarning, match="diverged"):
        model.fit(iris)
    events = callback.events[1:-1]
    assert events == ["begin fit", "begin epoch", "end epoch", "end fit"]


def test_the_best_epoch_offers_what_the_fit_leaves(digits):
    callback = StopAt()
    model = make_fast(StackedAutoencoder, pretraining_iter=1, max_iter=MAX_ITER)
    model.set_callbacks(callback).fit(digits[:600])  # its mean leaves out held-out rows
    best = callback.fitted[2 + model.best_iter_ - 1]
    assert model.best_iter_ > 0
    assert np.array_equal(best.mean_, model.mean_)
    assert best.score(digits) == model.score(digits)


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_callback_that_returns_true_stops_the_fit(iris, epoch):
    model = autoencoder().set_callbacks(StopAt(epoch)).fit(iris)
    assert model.n_iter_ == epoch
    assert model.transform(iris).shape == (150, 2)


# The epochs of an autoencoder inside are only seen by callbacks that propagate.
@pytest.mark.parametrize("estimator_class", [c for c in ESTIMATORS if hasattr(c, "max_iter")])
def test_nothing_is_trained_after_a_callback_stopped_the_fit(estimator_class, iris):
    callback = StopAt(2)
    make_fast(estimator_class).set_callbacks(callback).fit(iris, np.arange(len(iris)) % 3)
    assert callback.events.count("end epoch") == 2


def test_a_monitor_sees_the_features_names(iris):
    frame = pd.DataFrame(iris, columns=list("abcd"))
    monitor = new_monitor()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        autoencoder().set_callbacks(monitor).fit(frame)
    assert len(epoch_rows(monitor)) == MAX_ITER


def test_teardown_runs_also_after_an_error(iris):
    callback = StopAt()
    callback.on_fit_task_begin = None  # calling it raises
    with pytest.raises(TypeError):
        autoencoder().set_callbacks(callback).fit(iris)
    assert callback.events[-1] == "teardown"


def test_fitted_estimator_is_a_working_model_at_each_epoch(digits):
    X, callback = digits[:600], StopAt()
    model = autoencoder(early_stopping=False).set_callbacks(callback).fit(X)
    scores = [fitted.score(X) for fitted in callback.fitted]
    assert len(scores) == MAX_ITER + 1
    assert scores[-1] == pytest.approx(model.score(X))
    assert scores[-2] == pytest.approx(model.score(X), abs=1e-6)
    assert len(np.unique(np.round(scores[:MAX_ITER], 9))) == MAX_ITER


def own_score(estimator, X, y) -> float:
    return estimator.score(X)


def new_monitor() -> ScoringMonitor:
    return ScoringMonitor(scoring={"score": own_score})


def test_watching_changes_nothing(iris):
    alone = autoencoder(dropout=0.2).fit(iris)
    watched = autoencoder(dropout=0.2).set_callbacks(StopAt(), new_monitor())
    np.testing.assert_array_equal(watched.fit(iris).transform(iris), alone.transform(iris))


def test_scoring_monitor_logs_one_score_an_epoch(digits):
    monitor, X = new_monitor(), digits[:600]
    model = autoencoder(early_stopping=False).set_callbacks(monitor).fit(X)
    rows = epoch_rows(monitor)
    assert [row["task_id"] for row in rows] == list(range(MAX_ITER))
    assert rows[-1]["score"] == pytest.approx(model.score(X), abs=1e-6)


def test_scoring_monitor_with_a_metric_of_scikit_learn(iris):
    class Predicting(Autoencoder):
        def predict(self, X):
            return self.reconstruct(X)

    monitor = ScoringMonitor(scoring="r2")
    Predicting(**autoencoder().get_params()).set_callbacks(monitor).fit(iris)
    rows = epoch_rows(monitor)
    assert len(rows) == MAX_ITER
    assert all(0.9 < row["r2"] <= 1 for row in rows)


def test_scoring_monitor_inside_a_pipeline(iris):
    monitor = new_monitor()
    make_pipeline(StandardScaler(), autoencoder().set_callbacks(monitor)).fit(iris)
    assert len(epoch_rows(monitor)) == MAX_ITER


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_scoring_monitor_inside_a_grid_search(iris, n_jobs):
    monitor = new_monitor()
    model = autoencoder().set_callbacks(monitor)
    search = GridSearchCV(model, {"n_components": [1, 2]}, cv=2, n_jobs=n_jobs, refit=False)
    search.fit(iris)
    logs = monitor.get_logs(select="all")
    scores = [r["score"] for log in logs for r in log.data if r["task_name"] == "epoch"]
    assert len(scores) == 2 * 2 * MAX_ITER
    assert np.isfinite(scores).all()


def test_progress_bar(iris, capsys):
    model = autoencoder().set_callbacks(ProgressBar()).fit(iris)
    assert model.n_iter_ == MAX_ITER
    assert "Autoencoder" in capsys.readouterr().out


def test_progress_bar_of_a_pipeline(iris, capsys):
    pipeline = make_pipeline(StandardScaler(), autoencoder()).set_callbacks(ProgressBar())
    assert pipeline.fit(iris)[-1].n_iter_ == MAX_ITER
    assert "Autoencoder" in capsys.readouterr().out


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_progress_bar_of_a_grid_search(iris, n_jobs, capsys):
    search = GridSearchCV(autoencoder(), {"n_components": [1, 2]}, cv=2, n_jobs=n_jobs)
    search.set_callbacks(ProgressBar()).fit(iris)
    assert search.best_params_ == {"n_components": 2}
    assert "Autoencoder" in capsys.readouterr().out


def test_verbose_prints_a_line_an_epoch_and_the_outcome(iris, capsys):
    autoencoder(verbose=True).fit(iris)
    *lines, outcome = capsys.readouterr().out.strip().splitlines()
    assert outcome.startswith(("Kept PCA.", "Selected the network"))
    assert [line.split(",")[0] for line in lines] == [f"Epoch {i + 1}" for i in range(MAX_ITER)]
