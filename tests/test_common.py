"""scikit-learn's own checks of every estimator, and what its docstring must say."""

from __future__ import annotations

import ast
import re

import numpy as np
import pytest
from instances import (
    DEFAULT_INSTANCES,
    ESTIMATORS,
    FAST_AUTOENCODERS,
    FAST_INSTANCES,
    FAST_TRANSFORMERS,
    shorten_fits,
)
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

NOT_YIELDED = [
    estimator_checks.check_param_validation,
    estimator_checks.check_dataframe_column_names_consistency,
    estimator_checks.check_n_features_in_after_fitting,
]
NOT_YIELDED_FOR_TRANSFORMERS = [
    estimator_checks.check_set_output_transform,
    estimator_checks.check_set_output_transform_pandas,
    estimator_checks.check_set_output_transform_polars,
    estimator_checks.check_global_output_transform_pandas,
    estimator_checks.check_global_set_output_transform_polars,
    estimator_checks.check_transformer_get_feature_names_out,
    estimator_checks.check_transformer_get_feature_names_out_pandas,
    estimator_checks.check_transformer_n_iter,
]


# `type_of_target` casts an infinite y before it refuses it.
infinite_targets = pytest.mark.filterwarnings(
    "ignore:invalid value encountered in cast:RuntimeWarning"
)


@infinite_targets
@parametrize_with_checks(FAST_INSTANCES)
def test_scikit_learn_check(estimator, check):
    check(estimator)


@infinite_targets
@parametrize_with_checks(DEFAULT_INSTANCES)
def test_scikit_learn_check_of_the_defaults(estimator, check, monkeypatch):
    shorten_fits(monkeypatch, 5)
    check(estimator)


@pytest.mark.parametrize("check", NOT_YIELDED, ids=lambda check: check.__name__)
@pytest.mark.parametrize("estimator", FAST_INSTANCES, ids=lambda e: type(e).__name__)
def test_check_that_scikit_learn_does_not_yield(estimator, check):
    check(type(estimator).__name__, clone(estimator))


# The checks of set_output pass tables to estimators fitted on arrays, and the reverse.
@pytest.mark.filterwarnings(
    r"ignore:X does not have valid feature names, but \w+ was fitted with feature:UserWarning",
    r"ignore:X has feature names, but \w+ was fitted without feature names:UserWarning",
)
@pytest.mark.parametrize("check", NOT_YIELDED_FOR_TRANSFORMERS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("estimator", FAST_TRANSFORMERS, ids=lambda e: type(e).__name__)
def test_transformer_check_that_scikit_learn_does_not_yield(estimator, check):
    check(type(estimator).__name__, clone(estimator))


def section(docstring: str, title: str) -> dict[str, str]:
    """Names in a numpydoc section, each with the rest of its line."""
    body = re.split(rf"^{title}\n-+\n", docstring, flags=re.MULTILINE)[1]
    body = re.split(r"^[A-Z][A-Za-z ]+\n-+\n", body, flags=re.MULTILINE)[0]
    return dict(re.findall(r"^(\w+) : (.+)$", body, flags=re.MULTILINE))


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_docstring_lists_every_parameter(cls):
    assert set(section(cls.__doc__, "Parameters")) == set(cls().get_params(deep=False))


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_docstring_states_each_default(cls):
    described = section(cls.__doc__, "Parameters")
    for name, default in cls().get_params(deep=False).items():
        written = described[name].rpartition("default=")[2]
        assert ast.literal_eval(written) == default, name


@pytest.mark.parametrize("estimator", FAST_INSTANCES, ids=lambda e: type(e).__name__)
def test_docstring_describes_every_fitted_attribute(estimator):
    fitted = clone(estimator).fit(*load_iris(return_X_y=True))
    attributes = {n for n in vars(fitted) if n.endswith("_") and not n.startswith("_")}
    if hasattr(fitted, "noise_variance_"):  # a property
        attributes.add("noise_variance_")
    described = set(section(type(fitted).__doc__, "Attributes"))
    assert attributes <= described
    assert described <= attributes | {"feature_names_in_", "noise_variance_"}


@pytest.mark.parametrize("estimator", FAST_AUTOENCODERS, ids=lambda e: type(e).__name__)
def test_shapes_are_as_described(estimator):
    X = load_iris().data
    fitted = clone(estimator).fit(X)
    k, d = fitted.n_components_, fitted.n_features_in_
    assert fitted.mean_.shape == (d,)
    assert fitted.components_.shape == (k, d)
    assert fitted.explained_variance_ratio_.shape == (k,)
    assert len(fitted.loss_curve_) == fitted.n_iter_
    assert len(fitted.validation_scores_) == fitted.n_iter_ + 1
    assert all(len(values) == fitted.n_iter_ for values in fitted.history_.values())
    best = fitted.validation_scores_[fitted.best_iter_]
    perfect = fitted._criterion(fitted._model).perfect_score
    assert perfect - fitted.best_loss_ == pytest.approx(best)
    assert np.isfinite(fitted.loss_curve_).all()
