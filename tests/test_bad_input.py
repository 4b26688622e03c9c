"""Bad input gets an error that names the parameter or the problem."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from instances import FAST_AUTOENCODERS, FAST_INSTANCES, make_fast
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skae
from skae import Autoencoder

CHOICES = ["activation", "code_activation", "loss", "shortcut", "solver", "precision"]


def fast(*positional, **changes) -> Autoencoder:
    return make_fast(Autoencoder, *positional, **changes)


def counts(rng) -> np.ndarray:
    return rng.poisson(3.0, (30, 4)).astype(float)


# -- X ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.empty((0, 3)), "Found array with 0 sample"),
        (np.empty((5, 0)), r"0 feature\(s\)"),
        (np.ones((1, 3)), "minimum of 2 is required"),
        (np.arange(6.0), "Expected 2D array, got 1D array"),
        (np.ones((3, 2, 2)), r"dim 3.*X\.reshape\(len\(X\), -1\).*ConvolutionalAutoencoder"),
        (np.ones((3, 2, 2)).tolist(), r"dim 3.*X\.reshape\(len\(X\), -1\)"),
        (np.ones((5, 2)) * 1j, "Complex data not supported"),
        (np.array([["a", "b"], ["c", "d"]], dtype=object), "could not convert string to float"),
        (np.array([[1.0, np.nan], [2.0, 3.0]]), "Input X contains NaN.*Use DenoisingAutoencoder"),
        (np.array([[1.0, np.inf], [2.0, 3.0]]), "Input X contains infinity"),
    ],
    ids=[
        "no rows",
        "no columns",
        "one row",
        "1-D",
        "3-D",
        "3-D list",
        "complex",
        "object",
        "nan",
        "infinite",
    ],
)
def test_unusable_data(X, message):
    model = fast()
    with pytest.raises(ValueError, match=message):
        model.fit(X)
    with pytest.raises(NotFittedError):
        model.transform(np.ones((2, 2)))


@pytest.mark.parametrize("method", ["transform", "reconstruct", "score", "reconstruction_error"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_missing_values_after_fit(iris, method, bad):
    X = iris.copy()
    X[3, 1] = bad
    with pytest.raises(ValueError, match="Input X contains"):
        getattr(fast().fit(iris), method)(X)


@pytest.mark.parametrize("estimator", FAST_INSTANCES, ids=lambda e: type(e).__name__)
def test_missing_entries_point_to_the_method_that_takes_them(iris, estimator):
    X, y = np.where(iris > 7, np.nan, iris), np.arange(150) % 3
    if estimator.__sklearn_tags__().input_tags.allow_nan:
        assert np.isfinite(clone(estimator).fit(X, y).transform(X)).all()
        return
    fitted = clone(estimator).fit(iris, y)
    calls = [lambda: clone(estimator).fit(X, y)]
    calls += [
        lambda name=name: getattr(fitted, name)(X)
        for name in ("predict", "transform", "partial_fit")
        if hasattr(fitted, name)
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"contains NaN.*DenoisingAutoencoder") as raised:
            call()
        assert "Boosting" not in str(raised.value)


@pytest.mark.parametrize("estimator", FAST_INSTANCES, ids=lambda e: type(e).__name__)
def test_images_point_to_the_method_that_takes_them(estimator):
    X = np.random.default_rng(0).random((20, 1, 4, 4))
    if getattr(estimator, "_allows_images", False):
        assert clone(estimator).fit_transform(X).shape == (20, 2)
        return
    with pytest.raises(ValueError, match=r"dim 4.*X\.reshape.*use ConvolutionalAutoencoder"):
        clone(estimator).fit(X, np.arange(20) % 2)


def test_wrong_width(iris):
    with pytest.raises(ValueError, match="X has 3 features, but Autoencoder is expecting 4"):
        fast().fit(iris).transform(iris[:, :3])


def test_code_of_the_wrong_width(iris):
    with pytest.raises(ValueError, match=r"code has 3 columns.*2 components.*transform returned"):
        fast(2).fit(iris).inverse_transform(iris[:, :3])


def test_missing_values_in_a_code(iris):
    with pytest.raises(ValueError, match="Input code contains NaN"):
        fast(2).fit(iris).inverse_transform([[np.nan, 0.0]])


@pytest.mark.parametrize("bad", [-0.1, 1.1])
def test_log_loss_needs_the_unit_interval(rng, bad):
    X = rng.uniform(size=(30, 4))
    X[2, 2] = bad
    with pytest.raises(ValueError, match=r"loss='log_loss' needs X in \[0, 1\].*MinMaxScaler"):
        fast(loss="log_loss").fit(X)


def test_poisson_needs_counts(rng):
    X = counts(rng)
    X[2, 2] = -1
    with pytest.raises(ValueError, match=r"loss='poisson' needs counts.*smallest value is -1"):
        fast(loss="poisson").fit(X)


@pytest.mark.parametrize(
    "method", ["transform", "inverse_transform", "reconstruct", "score", "score_samples"]
)
def test_not_fitted(iris, method):
    with pytest.raises(NotFittedError, match="This Autoencoder instance is not fitted yet"):
        getattr(fast(), method)(iris)


# -- parameters ---------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, -1, 1.5, 1.0, 0.0, True, "many", None])
def test_n_components(iris, value):
    with pytest.raises(ValueError, match="'n_components' parameter"):
        fast(value).fit(iris)


@pytest.mark.parametrize("value", [(0,), (-3,), (True,), (1.5,), ("a",), "abc", 5, None])
def test_hidden_layer_sizes(iris, value):
    with pytest.raises(ValueError, match="'hidden_layer_sizes' parameter"):
        fast(hidden_layer_sizes=value).fit(iris)


@pytest.mark.parametrize("name", CHOICES)
def test_unknown_choice_names_the_known_ones(iris, name):
    model = fast(**{name: "nonsense"})
    known = getattr(Autoencoder(), name)
    with pytest.raises(ValueError, match=f"'{name}' parameter.*'{known}'.*Got 'nonsense' instead"):
        model.fit(iris)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dropout", 1.0),
        ("dropout", -0.1),
        ("weight_decay", -1),
        ("learning_rate_init", 0),
        ("learning_rate_init", "fast"),
        ("learning_rate_init", True),
        ("batch_size", 0),
        ("batch_size", "all"),
        ("max_iter", 0),
        ("max_iter", True),
        ("tol", -1e-4),
        ("validation_fraction", 0.0),
        ("validation_fraction", 1.0),
        ("n_iter_no_change", 0),
        ("transform_max_iter", -1),
        ("transform_max_iter", 1.5),
        ("transform_max_iter", True),
        ("early_stopping", "yes"),
        ("tied_weights", "yes"),
        ("shuffle", None),
        ("warm_start", "yes"),
        ("verbose", "yes"),
        ("random_state", "seed"),
        ("device", 3.5),
    ],
)
def test_parameter_out_of_range(iris, name, value):
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        fast(**{name: value}).fit(iris)


@pytest.mark.parametrize("name", ["weight_decay", "learning_rate_init", "tol"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_parameter_that_is_no_number(iris, name, value):
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        fast(**{name: value}).fit(iris)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_absent_device(iris):
    with pytest.raises(ValueError, match="'device' parameter is 'cuda', which is not available"):
        fast(device="cuda").fit(iris)


@pytest.mark.parametrize("device", ["nonsense", "meta", ""])
def test_unusable_device(iris, device):
    with pytest.raises(ValueError, match="'device' parameter"):
        fast(device=device).fit(iris)


# -- wide codes ---------------------------------------------------------------------------------

WIDE = "n_components=5 is above the number of features of X, 4"


@pytest.mark.parametrize("estimator", FAST_AUTOENCODERS, ids=lambda e: type(e).__name__)
def test_a_wide_code_warns_unless_the_method_is_meant_for_it(iris, estimator):
    """Methods that minimise the reconstruction loss alone may then copy X."""
    wide = clone(estimator).set_params(n_components=5)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", message="PCA was kept")
        assert wide.fit_transform(iris).shape == (150, 5)
    copies = type(estimator).__name__ in COPY_X
    assert [str(w.message)[: len(WIDE)] for w in caught] == [WIDE] * copies
    assert all(w.filename == __file__ for w in caught)


COPY_X = {
    "Autoencoder",
    "ConvolutionalAutoencoder",
    "OrderedAutoencoder",
    "StackedAutoencoder",
}


def test_more_components_than_rows_warn(digits):
    with pytest.warns(UserWarning, match="n_components=21 is above the number of rows of X, 20"):
        fast(21).fit(digits[:20])


@pytest.mark.parametrize("n_components", [4, 0.99])
@pytest.mark.filterwarnings("error")
def test_as_many_components_as_features_do_not_warn(iris, n_components):
    fast(n_components).fit(iris)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["AutoencoderClassifier", "AutoencoderRegressor"])
def test_the_default_autoencoder_in_another_estimator_does_not_warn(iris, name):
    y = np.arange(150) % 3
    model = getattr(skae, name)(max_iter=1, random_state=0)
    assert model.fit(iris, y).autoencoder_.n_components_ == 4
    assert model.fit(np.repeat(iris, 10, axis=1), y).autoencoder_.n_components_ == 32


# -- fits that go wrong -------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["adamw", "sgd", "muon"])
def test_divergence_keeps_the_best_state_and_warns(digits, solver):
    X = digits[:600]
    model = fast(4, learning_rate_init=1e6, solver=solver)
    with pytest.warns(ConvergenceWarning, match="diverged in epoch 1.*Lower learning_rate_init"):
        model.fit(X)
    assert np.isfinite(model.transform(X)).all()
    assert model.score(X) >= PCA(4).fit(X).explained_variance_ratio_.sum() - 1e-6


def test_a_fit_recovers_from_a_rate_that_is_too_high(digits):
    model = make_fast(Autoencoder, 4, learning_rate_init=30.0, max_iter=10)
    with pytest.warns(ConvergenceWarning, match=r"went on from its best state at (3|0\.3)\. Pass"):
        model.fit(digits)
    assert len(model.loss_curve_) == 10
    assert np.isfinite(model.loss_curve_).all()


def test_divergence_without_held_out_rows(digits):
    X = digits[:600]
    model = fast(4, learning_rate_init=1e6, solver="sgd", early_stopping=False)
    with pytest.warns(ConvergenceWarning, match="best state is that of the start"):
        model.fit(X)
    assert model.score(X) == pytest.approx(PCA(4).fit(X).explained_variance_ratio_.sum())


@pytest.mark.parametrize("learning_rate", [0.7, 1.0])
def test_losses_that_rise_before_they_diverge_are_not_kept(digits, learning_rate):
    X = digits[:300]
    model = fast(2, learning_rate_init=learning_rate, early_stopping=False, max_iter=50)
    with pytest.warns(ConvergenceWarning, match="diverged"):
        model.fit(X)
    assert model.score(X) >= PCA(2).fit(X).explained_variance_ratio_.sum() - 1e-6


@pytest.mark.parametrize("estimator", FAST_INSTANCES, ids=lambda e: type(e).__name__)
def test_warnings_name_the_line_of_the_caller(estimator):
    X, y = load_digits(return_X_y=True)
    steep = clone(estimator)
    prefix = "" if "solver" in steep.get_params(deep=False) else "autoencoder__"
    steep.set_params(**{f"{prefix}solver": "sgd", f"{prefix}learning_rate_init": 1e6})
    with pytest.warns(ConvergenceWarning, match="diverged") as caught:
        steep.fit(X[:60] / 16, y[:60])
    assert {warning.filename for warning in caught} == {__file__}


def test_warnings_name_the_line_of_the_caller_of_a_pipeline(iris):
    pipeline = make_pipeline(fast(solver="sgd", learning_rate_init=1e6), StandardScaler())
    with pytest.warns(ConvergenceWarning, match="diverged") as caught:
        pipeline.fit(iris)
    assert {warning.filename for warning in caught} == {__file__}


class InterruptAt:
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch" and context.task_id + 1 == self.epoch:
            raise KeyboardInterrupt


@pytest.mark.parametrize("early_stopping", [True, False])
def test_interrupt_keeps_the_best_state_and_warns(digits, early_stopping):
    X = digits[:600]
    model = fast(4, max_iter=50, early_stopping=early_stopping).set_callbacks(InterruptAt(3))
    with pytest.warns(ConvergenceWarning, match="interrupted by the user; the best state"):
        model.fit(X)
    assert model.n_iter_ == 3
    assert np.isfinite(model.transform(X)).all()
    if early_stopping:
        assert model.best_loss_ == pytest.approx(1 - max(model.validation_scores_))


def test_a_good_fit_does_not_warn(iris):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fast().fit(iris).transform(iris)


def break_training(monkeypatch):
    def fail(*_args, **_kwargs):
        raise RuntimeError("out of memory")

    monkeypatch.setattr("skae.fitting.trainer.train", fail)


def change_to_failure(model, iris, failure, monkeypatch):
    """Let the next fit fail in one of the ways a fit can."""
    X = iris[:, :3]
    if failure == "values":
        model.set_params(loss="log_loss")
    elif failure == "device":
        model.set_params(device="nonsense")
    elif failure == "widths":
        model.set_params(hidden_layer_sizes=(0,))
    elif failure == "training":
        break_training(monkeypatch)
    return X


FAILURES = ["values", "device", "widths", "training"]


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failed_fit_leaves_nothing_that_looks_fitted(iris, failure, monkeypatch):
    model = fast()
    X = change_to_failure(model, iris, failure, monkeypatch)
    with pytest.raises((ValueError, RuntimeError)):
        model.fit(X)
    assert not [name for name in vars(model) if name.endswith("_") and not name.startswith("_")]
    with pytest.raises(NotFittedError):
        model.transform(X)


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failed_fit_leaves_a_fitted_model_as_it_was(iris, failure, monkeypatch):
    model = fast().fit(iris)
    before = model.transform(iris)
    X = change_to_failure(model, iris, failure, monkeypatch)
    with pytest.raises((ValueError, RuntimeError)):
        model.fit(X)
    assert model.n_features_in_ == 4
    np.testing.assert_array_equal(model.transform(iris), before)


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failed_partial_fit_leaves_a_fitted_model_as_it_was(iris, failure, monkeypatch):
    model = fast().fit(iris)
    before = model.transform(iris)
    change_to_failure(model, iris, failure, monkeypatch)
    X = iris[:, :3] if failure == "widths" else iris
    with pytest.raises((ValueError, RuntimeError)):
        model.partial_fit(X)
    np.testing.assert_array_equal(model.transform(iris), before)
