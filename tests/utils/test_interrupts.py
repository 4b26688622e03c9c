"""Real signals at chosen moments of a fit that stands alone, and of fits in a search."""

from __future__ import annotations

import signal

import numpy as np
import pytest
from sklearn.ensemble import BaggingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import Autoencoder, AutoencoderRegressor, StackedAutoencoder

X = np.random.default_rng(0).normal(size=(120, 8))


@pytest.fixture(autouse=True)
def signals():
    """Let SIGINT raise KeyboardInterrupt; workers of pytest-xdist may ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_at(monkeypatch, place, call=2):
    """Send SIGINT to this process when a function is called for the n-th time."""
    owner, name = place.rsplit(".", 1)
    module, cls = owner.rsplit(".", 1)
    holder = getattr(__import__(module, fromlist=[cls]), cls)
    original, calls = getattr(holder, name), []

    def pressed(*args, **kwargs):
        calls.append(1)
        if len(calls) == call:
            signal.raise_signal(signal.SIGINT)
        return original(*args, **kwargs)

    monkeypatch.setattr(holder, name, pressed)
    return calls


def fast(cls=Autoencoder, **options):
    options = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0} | options
    return cls(2, **options)


MOMENTS = {
    "start": ("skae.base.BaseAutoencoder._split", 2),
    "epoch": ("skae.core.optimizers.AdamW.step", 3),
    "validation": ("skae.fitting.selection.ValidationLoss.__call__", 3),
    "scoring": ("skae.inference.transformer.AutoencoderTransformer.score", 1),
}
SEARCHES = {
    "grid": lambda model: GridSearchCV(model, {"n_components": [1, 2]}, cv=2).fit(X),
    "cross_validate": lambda model: cross_validate(model, X, cv=2),
    "cross_val_score": lambda model: cross_val_score(
        make_pipeline(StandardScaler(), model), X, cv=2
    ),
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("search", SEARCHES)
def test_an_interrupt_ends_a_search(monkeypatch, search, moment):
    calls = press_at(monkeypatch, *MOMENTS[moment])
    with pytest.raises(KeyboardInterrupt):
        SEARCHES[search](fast())
    assert len(calls) == MOMENTS[moment][1]  # nothing went on


def test_an_interrupt_ends_the_refit_of_a_search(monkeypatch):
    grid, place = {"n_components": [2]}, "skae.core.optimizers.AdamW.step"
    calls = press_at(monkeypatch, place, call=0)  # never
    GridSearchCV(fast(), grid, cv=2, refit=False).fit(X)
    press_at(monkeypatch, place, call=len(calls) + 1)
    with pytest.raises(KeyboardInterrupt):
        GridSearchCV(fast(), grid, cv=2).fit(X)


def test_an_interrupt_ends_an_ensemble(monkeypatch):
    press_at(monkeypatch, *MOMENTS["epoch"])
    member = AutoencoderRegressor(fast(), max_iter=2, random_state=0)
    with pytest.raises(KeyboardInterrupt):
        BaggingRegressor(member, n_estimators=2, random_state=0).fit(X, X[:, 0])


@pytest.mark.parametrize("cls", [Autoencoder, StackedAutoencoder])
def test_an_interrupt_by_hand_keeps_the_state(monkeypatch, cls):
    press_at(monkeypatch, *MOMENTS["epoch"])
    with pytest.warns(ConvergenceWarning, match="interrupted by the user"):
        model = fast(cls).fit(X)
    assert np.isfinite(model.transform(X)).all()


@pytest.mark.parametrize("moment", ["epoch", "validation"])
def test_an_interrupt_in_a_pipeline_by_hand_keeps_the_state(monkeypatch, moment):
    press_at(monkeypatch, *MOMENTS[moment])
    with pytest.warns(ConvergenceWarning, match="interrupted by the user"):
        codes = make_pipeline(StandardScaler(), fast(), StandardScaler()).fit_transform(X)
    assert np.isfinite(codes).all()


class PressInEpoch:
    """A callback that sends the signal of Ctrl-C to the process of its fit."""

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        if context.task_name == "epoch":
            signal.raise_signal(signal.SIGINT)

    def on_fit_task_end(self, estimator, context):
        pass


def test_an_interrupt_in_a_worker_ends_the_search():
    model = fast().set_callbacks(PressInEpoch())
    with pytest.raises(KeyboardInterrupt):
        GridSearchCV(model, {"n_components": [1, 2]}, cv=2, n_jobs=2).fit(X)
