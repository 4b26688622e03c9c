"""Rows that the user keeps together, and rows that the user holds out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    PredefinedSplit,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import Autoencoder, StackedAutoencoder
from skae.fitting.held_out import MIN_GROUPS
from skae.fitting.selection import MIN_MAJORITY
from skae.fitting.split import split_rows

DIGITS = load_digits().data


def held_out_and_training(split):
    """Yield the held-out and the training rows of each validated model."""
    for rows, mask, training in zip(split.held_out, split.mask, split.training, strict=False):
        if mask.any():
            yield set(rows[mask].tolist()), set(training.tolist())


def choose(estimator, X, groups=None, y=None):
    generator = torch.Generator().manual_seed(0)
    return estimator._split(X, X.shape[1], y, groups, generator)[0]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 25), st.integers(30, 200))
def test_no_group_is_divided(seed, n_groups, n_rows):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 3))
    X[rng.integers(n_rows, size=5)] = X[0]  # duplicates join groups, too
    groups = rng.integers(n_groups, size=n_rows)
    if len(np.unique(groups)) < 2:
        return
    generator = torch.Generator().manual_seed(seed % 2**31)
    split = split_rows(
        X, n_rows, 0.1, may_cross_fit=bool(seed % 2), generator=generator, given=groups
    )
    if split.held_out is None:  # the duplicates join all groups
        return
    for held_out, training in held_out_and_training(split):
        assert held_out
        assert training
        assert held_out.isdisjoint(training)
        assert set(groups[list(held_out)]).isdisjoint(groups[list(training)])
        of_first = {i for i in range(n_rows) if (X[i] == X[0]).all()}
        assert of_first <= held_out or of_first.isdisjoint(held_out)
    units = split.groups.numpy()
    for group in np.unique(groups):
        assert len(set(units[groups == group])) == 1  # counts as one


def test_groups_of_one_row_change_nothing():
    X = DIGITS[:120]
    fits = [
        Autoencoder(4, hidden_layer_sizes=(16,), max_iter=5, random_state=0).fit(X, groups=groups)
        for groups in (None, np.arange(120)[::-1], [f"row {i}" for i in range(120)])
    ]
    for fitted in fits[1:]:
        assert fitted.validation_scores_ == fits[0].validation_scores_
        assert_array_equal(fitted.transform(X), fits[0].transform(X))


@pytest.mark.parametrize(
    "name",
    [
        lambda number: number if number % 2 else f"patient {number}",
        lambda number: frozenset({number % 5, 5 + number // 5}),
        lambda number: pd.Timestamp(2020, 1, 1) + pd.Timedelta(days=int(number)),
        lambda number: (number, str(number)),
    ],
    ids=["numbers and strings", "sets", "times", "tuples"],
)
def test_groups_may_have_any_names(name):
    numbers = np.random.default_rng(0).integers(20, size=150)
    names = np.empty(150, dtype=object)
    names[:] = [name(number) for number in numbers]
    for estimator in (Autoencoder(), StackedAutoencoder()):
        by_name, by_number = (choose(estimator, DIGITS[:150], g) for g in (names, numbers))
        assert list(held_out_and_training(by_name)) == list(held_out_and_training(by_number))


def test_few_groups_are_held_out_in_folds_however_many_rows_there_are():
    X = np.random.default_rng(0).normal(size=(6000, 3))
    folds = list(held_out_and_training(choose(Autoencoder(), X, np.arange(6000) // 300)))
    assert len(folds) == 5
    assert set().union(*(held_out for held_out, _ in folds)) == set(range(6000))
    # Enough of them where there are no folds.
    stacked = StackedAutoencoder()
    ((held_out, _),) = held_out_and_training(choose(stacked, X, np.arange(6000) // 300))
    assert len(held_out) == 3000  # ten of the twenty groups
    ((held_out, _),) = held_out_and_training(choose(Autoencoder(), X, np.arange(6000) // 10))
    assert len(held_out) == 600


def windows(seed):
    """Return windows of an autoregressive series, and later windows that share no value."""
    rng, series = np.random.default_rng(seed), np.zeros(1100)
    for i in range(2, len(series)):
        series[i] = 1.6 * series[i - 1] - 0.8 * series[i - 2] + rng.normal()
    found = np.lib.stride_tricks.sliding_window_view(series, 40)
    return found[:700], found[760:]


@pytest.mark.parametrize(
    ("parameters", "groups"),
    [({}, np.arange(700) // 70), ({"validation_fraction": TimeSeriesSplit(3, gap=40)}, None)],
    ids=["groups", "splitter"],
)
def test_windows_that_overlap_do_not_judge_a_network_that_learned_them(parameters, groups):
    train, later = windows(3)
    pca = PCA(5).fit(train)
    pca_error = np.square(later - pca.inverse_transform(pca.transform(later))).sum()
    alone = Autoencoder(5, max_iter=50, random_state=0).fit(train)
    assert alone.validation_ratio_ < 0.8  # by heart
    assert alone.reconstruction_error(later).sum() > 0.99 * pca_error
    kept = Autoencoder(5, max_iter=50, random_state=0, **parameters).fit(train, groups=groups)
    assert kept.validation_ratio_ > 0.9
    assert kept.reconstruction_error(later).sum() < 1.01 * pca_error


@pytest.mark.parametrize(
    ("splitter", "n_models"),
    [
        (PredefinedSplit(np.where(np.arange(200) >= 150, 0, -1)), 1),
        (ShuffleSplit(1, test_size=30, random_state=0), 1),
        (GroupShuffleSplit(1, test_size=0.3, random_state=0), 1),
        (TimeSeriesSplit(3), 3),
        (KFold(4), 4),
        (GroupKFold(3), 3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_splitter_names_the_rows(splitter, n_models):
    X = DIGITS[:200]
    groups = np.arange(200) // 10 if type(splitter).__name__.startswith("Group") else None
    split = choose(Autoencoder(validation_fraction=splitter), X, groups)
    expected = [(set(test), set(train)) for train, test in splitter.split(X, groups=groups)]
    assert list(held_out_and_training(split)) == expected
    # Next to folds, the returned model trains on all rows; a single split keeps its rows out.
    last = expected[0][1] if n_models == 1 else set(range(200))
    assert set(split.training[-1].tolist()) == last
    fitted = Autoencoder(
        2, hidden_layer_sizes=(8,), max_iter=2, validation_fraction=splitter, random_state=0
    )
    assert fitted.fit(X, groups=groups).validation_ratio_ is not None


def test_a_splitter_gets_y():
    y = np.arange(200) % 2

    class OfOneClass:
        def split(self, X, y, groups=None):
            return [(np.flatnonzero(y == 0), np.flatnonzero(y == 1))]

    ((held_out, _),) = held_out_and_training(
        choose(Autoencoder(validation_fraction=OfOneClass()), DIGITS[:200], y=y)
    )
    assert held_out == set(range(1, 200, 2))


def test_held_out_rows_are_not_trained_on():
    """Whatever the held-out rows hold, the network of a given epoch is the same."""
    held_out = np.arange(300) >= 200
    splitter = PredefinedSplit(np.where(held_out, 0, -1))
    codes = []
    for other in (DIGITS[200:300], DIGITS[300:400]):
        fitted = StackedAutoencoder(
            2,
            hidden_layer_sizes=(8,),
            max_iter=3,
            pretraining_iter=1,
            validation_fraction=splitter,
            random_state=0,
        )
        rows = np.vstack([DIGITS[:200], other])
        rows[200:] += DIGITS[:200].mean(axis=0) - rows[200:].mean(axis=0)  # units as before
        rows[200:] = rows[:100] if other is DIGITS[200:300] else rows[:100][::-1]
        fitted.fit(rows)
        codes.append((fitted.best_iter_, fitted.loss_curve_))
    assert codes[0][1] == codes[1][1]


def test_groups_reach_a_step_of_a_pipeline_and_of_a_cross_validation():
    X, groups = DIGITS[:150], np.arange(150) // 10
    settings = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}
    direct = Autoencoder(2, **settings).fit(StandardScaler().fit_transform(X), groups=groups)
    by_name = make_pipeline(StandardScaler(), Autoencoder(2, **settings))
    by_name.fit(X, autoencoder__groups=groups)
    assert by_name[-1].validation_scores_ == direct.validation_scores_
    with config_context(enable_metadata_routing=True):
        step = Autoencoder(2, **settings).set_fit_request(groups=True)
        routed = make_pipeline(StandardScaler(), step).fit(X, groups=groups)
        assert routed[-1].validation_scores_ == direct.validation_scores_
        scores = cross_validate(
            step, X, cv=GroupKFold(3), params={"groups": groups}, error_score="raise"
        )
    assert np.isfinite(scores["test_score"]).all()


@pytest.mark.parametrize(
    ("parameters", "groups", "text"),
    [
        ({}, np.zeros(20), "groups has a single group"),
        ({}, np.arange(19), "X has 20 rows, but groups has 19 entries"),
        ({}, [None, *range(19)], "groups has no value for row 0"),
        ({}, np.r_[np.arange(19.0), np.nan], "groups has no value for row 19"),
        ({}, pd.Series([*range(19), pd.NA]), "groups has no value for row 19"),
        ({}, pd.Series([pd.Timestamp(2020, 1, 1)] * 19 + [pd.NaT]), "no value for row 19"),
        ({}, np.array([pd.Timestamp(2020, 1, 1)] * 19 + [pd.NaT], dtype=object), "for row 19"),
        ({}, np.ma.masked_equal(np.arange(20), 3), "groups is a masked array with 1 masked"),
        ({}, np.zeros((20, 2)), r"groups must have one dimension, .* ndarray of shape \(20, 2\)"),
        ({}, [(i, i) for i in range(20)], r"groups must have one dimension, .* list of shape"),
        ({}, [[1], [2, 3]], "groups must have one dimension, .* Got list."),
        ({}, 3, r"groups must have one dimension, .* int of shape \(\)"),
        ({}, "patient", "groups must have one dimension"),
        (
            {},
            np.array([{i} for i in range(20)]),
            "groups must name .* but .*unhashable type: 'set'",
        ),
        ({"early_stopping": False}, np.arange(20), "but early_stopping=False. Set early_stopping="),
        ({"warm_start": True}, np.arange(20), "but warm_start=True. Set warm_start=False"),
        (
            {"validation_fraction": KFold(3), "early_stopping": False},
            None,
            "early_stopping=False. Set early_stopping=True",
        ),
        ({"validation_fraction": PredefinedSplit([-1] * 20)}, None, "makes 0 splits"),
        ({"validation_fraction": 3}, None, "'validation_fraction' parameter"),
        (
            {"validation_fraction": "gkf"},
            None,
            "'validation_fraction' .* an instance of a splitter",
        ),
        ({"validation_fraction": GroupKFold}, None, "'validation_fraction' .* an instance of a"),
        ({"validation_fraction": torch.tensor(0.1)}, None, "'validation_fraction' parameter"),
        ({"validation_fraction": (np.arange(9), np.arange(9, 20))}, None, "list of pairs"),
        (
            {"validation_fraction": PredefinedSplit([0, 1] * 9)},
            None,
            "18 entries, but X has 20 row",
        ),
        ({"validation_fraction": PredefinedSplit([0, 1] * 11)}, None, "22 entries, but X has 20"),
        (
            {"validation_fraction": KFold(21)},
            None,
            r"validation_fraction=KFold\(...\) cannot split",
        ),
        ({"validation_fraction": StratifiedKFold(2)}, None, "Pass y and groups to fit"),
        (
            {"validation_fraction": GroupKFold(2)},
            None,
            "Pass y and groups to fit if it needs",
        ),
        (
            {"validation_fraction": StratifiedGroupKFold(2)},
            np.arange(20),
            "Pass y to fit if it needs them",
        ),
    ],
)
def test_bad_groups_and_splitters(parameters, groups, text):
    with pytest.raises(ValueError, match=text):
        Autoencoder(2, **parameters).fit(DIGITS[:20], groups=groups)


@pytest.mark.parametrize(
    ("splits", "text"),
    [
        ([([], [1])], "a split of 0 training and 1 held-out rows"),
        ([([1, 2], [2, 3])], "no row may be in both"),
        ([([0], [1])] * 2, "at most 1 may be validated together"),
        ([], "makes 0 splits"),
        (
            [(np.arange(20), np.arange(-5, 0))],
            "validation_fraction names row -5, but X has 20 rows",
        ),
        (
            [(np.arange(10), np.arange(10, 21))],
            "validation_fraction names row 20, but X has 20 rows",
        ),
        ([([0.5], [1])], "by masks, but one has the shape .* and the dtype float64"),
        ([([[0, 1]], [2])], r"by masks, but one has the shape \(1, 2\)"),
        ([(np.arange(21) < 9, np.arange(21) > 9)], "a mask of 21 entries, but X has 20 rows"),
        ([(np.arange(20) < 9, np.arange(20) < 3)], "no row may be in both"),
    ],
)
def test_splits_that_cannot_be_used(splits, text):
    class Splitter:
        def split(self, X, y=None, groups=None):
            return splits

    for splitter in (Splitter(), splits):
        with pytest.raises(ValueError, match=text):
            StackedAutoencoder(2, validation_fraction=splitter).fit(DIGITS[:20])


@pytest.mark.parametrize("as_splitter", [True, False])
def test_rows_of_splits_are_named_by_numbers_or_masks(as_splitter):
    """In each case, the fit is that of the scikit-learn splitter with the same splits."""
    X = DIGITS[:150]
    settings = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}
    folds = list(KFold(3).split(X))
    expected = Autoencoder(2, validation_fraction=KFold(3), **settings).fit(X)
    masks = [tuple(np.isin(np.arange(150), rows) for rows in pair) for pair in folds]
    for splits in (folds, masks, [tuple(map(list, pair)) for pair in masks]):

        class Splitter:
            def split(self, X, y=None, groups=None, splits=splits):
                return splits

        splitter = Splitter() if as_splitter else splits
        fitted = clone(Autoencoder(2, validation_fraction=splitter, **settings)).fit(X)
        assert fitted.validation_scores_ == expected.validation_scores_
        assert_array_equal(fitted.transform(X), expected.transform(X))


def test_too_few_groups_keep_pca_and_say_so():
    with pytest.warns(UserWarning, match="only 6 groups.* at least 7 groups"):
        fitted = Autoencoder(2, max_iter=5).fit(DIGITS[:600], groups=np.arange(600) // 100)
    assert fitted.selected_ == "pca"
    seven = np.minimum(np.arange(600) // 90, 6)
    assert Autoencoder(2, max_iter=20).fit(DIGITS[:600], groups=seven).selected_ == "network"


def test_the_least_number_of_groups_is_that_of_the_decision():
    assert MIN_GROUPS > MIN_MAJORITY * MIN_GROUPS**0.5
    assert MIN_GROUPS - 1 <= MIN_MAJORITY * (MIN_GROUPS - 1) ** 0.5
