"""Classifier and regressor on rows that belong together, or that the user holds out."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array
from sklearn import config_context
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    PredefinedSplit,
    StratifiedGroupKFold,
    StratifiedShuffleSplit,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import (
    Autoencoder,
    AutoencoderClassifier,
    AutoencoderRegressor,
    DenoisingAutoencoder,
)
from skae.base import BaseAutoencoder
from skae.estimators import supervised
from skae.fitting.duplicates import merge_duplicates

DIGITS, CLASSES = load_digits(return_X_y=True)
X, Y = DIGITS[:300], CLASSES[:300]
GROUPS = np.random.default_rng(0).integers(30, size=300)
SMALL = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}
FITTED = FrozenEstimator(Autoencoder(4, **SMALL).fit(X))
UNFITTED = Autoencoder(4, **SMALL)
TRAINS_ON_ALL = Autoencoder(4, early_stopping=False, **SMALL)
HEADS = [AutoencoderClassifier, AutoencoderRegressor]


def head(cls=AutoencoderClassifier, autoencoder=FITTED, **parameters):
    defaults = {"early_stopping": True, "max_iter": 5, "random_state": 0}
    return cls(autoencoder, **(defaults | parameters))


def few(cls, y=Y):
    """Return y with a third of the labels removed."""
    return np.where(np.arange(len(y)) % 3 == 0, -1 if cls is AutoencoderClassifier else np.nan, y)


def outputs(model, rows=X):
    return model.predict(rows) if hasattr(model, "_is_flat") else model.decision_function(rows)


class Watched:
    """The rows of X that a fit merges, and those of its splits."""

    def __init__(self, monkeypatch):
        self.of_autoencoder = []

        def merge(*arguments):
            self.rows = merge_duplicates(*arguments)
            return self.rows

        def train(model, network, phases, known, split, *rest):
            numbers = self.rows.numbers[self.rows.is_labelled]
            self.split, self.of_head = split, []
            if split.held_out is not None:
                self.of_head = [(set(numbers[split.held_out[0]]), set(numbers[split.training[0]]))]
            return train_phases(model, network, phases, known, split, *rest)

        def choose(*arguments):
            found = choose_split(*arguments)
            split, numbers = found[0], self.rows.numbers
            if split.held_out is None:
                return found
            parts = zip(split.held_out, split.mask, split.training, strict=True)
            self.of_autoencoder = [
                (set(numbers[held_out[mask]]), set(numbers[training]))
                for held_out, mask, training in parts
                if mask.any()
            ]
            return found

        train_phases, choose_split = supervised.HeadTrainer._train_phases, BaseAutoencoder._split
        monkeypatch.setattr(supervised, "merge_duplicates", merge)
        monkeypatch.setattr(supervised.HeadTrainer, "_train_phases", train)
        monkeypatch.setattr(BaseAutoencoder, "_split", choose)


@pytest.fixture
def watched(monkeypatch):
    return Watched(monkeypatch)


@pytest.mark.parametrize("cls", HEADS)
@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_divided(watched, cls, seed):
    rng = np.random.default_rng(seed)
    rows, groups = X.copy(), np.array([f"patient {i}" for i in rng.permutation(300) // 10])
    rows[rng.integers(300, size=4)] = rows[0]  # duplicates link groups, too
    model = head(cls, UNFITTED, random_state=seed).fit(rows, few(cls), groups=groups)
    assert model.validation_scores_ is not None
    linked = set(groups[(rows == rows[0]).all(axis=1)])
    assert len(watched.of_head) == 1
    assert len(watched.of_autoencoder) == 5  # folds, as there are few groups
    for held_out, training in watched.of_head + watched.of_autoencoder:
        assert held_out
        held_out, training = set(groups[list(held_out)]), set(groups[list(training)])
        assert held_out.isdisjoint(training)
        assert linked <= held_out or linked.isdisjoint(held_out)


@pytest.mark.parametrize("cls", HEADS)
def test_groups_of_one_row_change_nothing(cls):
    fits = [
        head(cls, UNFITTED).fit(X, few(cls), groups=groups)
        for groups in (None, np.arange(300)[::-1], [f"row {i}" for i in range(300)])
    ]
    for fitted in fits[1:]:
        assert fitted.validation_scores_ == fits[0].validation_scores_
        assert fitted.autoencoder_.validation_scores_ == fits[0].autoencoder_.validation_scores_
        assert_array_equal(outputs(fitted), outputs(fits[0]))


@pytest.mark.parametrize("cls", HEADS)
@pytest.mark.parametrize("n_duplicates", [0, 20])
def test_groups_are_a_splitter_that_returns_the_same_rows(watched, cls, n_duplicates):
    rows = np.vstack([X, X[:n_duplicates]])
    y, groups = few(cls, np.r_[Y, Y[:n_duplicates]]), np.r_[GROUPS, GROUPS[:n_duplicates]]
    # Shuffling depends on what the choice of groups has drawn. The regressor's lists the rows in
    # another order, which a single batch does not show but for rounding.
    settings = {"shuffle": False, "batch_size": 400}
    by_groups = head(cls, **settings).fit(rows, y, groups=groups)
    held_out = np.isin(groups, groups[list(watched.of_head[0][0])])
    splitter = PredefinedSplit(np.where(held_out, 0, -1))
    by_splitter = head(cls, validation_fraction=splitter, **settings).fit(rows, y)
    rounding = 0.0 if cls is AutoencoderClassifier else 1e-5
    expected = pytest.approx(by_groups.validation_scores_, rel=rounding, abs=0.0)
    assert by_splitter.validation_scores_ == expected
    np.testing.assert_allclose(outputs(by_splitter), outputs(by_groups), rtol=10 * rounding)


@pytest.mark.parametrize("autoencoder", [FITTED, UNFITTED])
def test_a_splitter_is_as_hiding_the_labels_by_hand(autoencoder):
    held_out = np.arange(300) % 5 == 0
    splitter = PredefinedSplit(np.where(held_out, 0, -1))
    y = np.where(np.arange(300) % 7 == 0, -1, Y)
    settings = {"freeze": True, "n_iter_no_change": 100}
    model = head(autoencoder=autoencoder, validation_fraction=splitter, **settings).fit(X, y)
    hidden = np.where(held_out, -1, y)
    by_hand = head(autoencoder=autoencoder, early_stopping=False, **settings).fit(X, hidden)
    assert model.loss_curve_ == by_hand.loss_curve_
    assert model.best_iter_ == model.n_iter_ == 5
    assert_array_equal(outputs(model), outputs(by_hand))
    validated = held_out & (y != -1)
    loss = log_loss(y[validated], model.predict_proba(X[validated]), labels=model.classes_)
    assert model.validation_scores_[-1] == pytest.approx(-loss, rel=1e-5)


class Recorded:
    """A splitter that notes what it is given."""

    def __init__(self, splitter):
        self.splitter, self.calls = splitter, []

    def split(self, X, y=None, groups=None):
        self.calls.append((X, y, groups))
        return self.splitter.split(X, y, groups)


@pytest.mark.parametrize("cls", HEADS)
def test_a_splitter_sees_all_rows_that_the_user_passed(watched, cls):
    rows, y = np.vstack([X, X[:50]]), np.r_[Y, Y[:50]]
    y, groups = few(cls, y), np.r_[GROUPS, GROUPS[:50]]
    weights = np.where(np.arange(350) < 30, 0.0, 1.0)
    splitter = Recorded(GroupShuffleSplit(2, test_size=0.3, random_state=0))
    head(cls, validation_fraction=splitter).fit(rows, y, weights, groups=groups)
    ((seen_rows, seen_y, seen_groups),) = splitter.calls  # once
    assert_array_equal(seen_rows, rows)
    assert_array_equal(seen_y, y)
    assert_array_equal(seen_groups, np.unique(groups, return_inverse=True)[1])
    # Of the first split, the rows with a label and a weight; duplicates stand for one another.
    is_known = (weights > 0) & ((y != -1) & (y == y))
    training, held_out = next(splitter.splitter.split(rows, y, groups))
    found = [{tuple(rows[i]) for i in part} for part in watched.of_head[0]]
    expected = [{tuple(rows[i]) for i in part if is_known[i]} for part in (held_out, training)]
    assert found == expected


@pytest.mark.parametrize("named", [False, True], ids=["for the head", "for the autoencoder"])
@pytest.mark.parametrize(
    "mark",
    [
        lambda y: np.where(y == -1, None, np.array([f"digit {i}" for i in range(10)])[y]),
        lambda y: np.where(y == -1, np.nan, y + 0.0),
        lambda y: np.where(y == -1, None, y),
    ],
    ids=["strings and None", "NaN", "numbers and None"],
)
def test_a_splitter_gets_minus_one_for_rows_without_a_label(mark, named):
    y = few(AutoencoderClassifier)

    def fit(y):
        splitter = Recorded(StratifiedGroupKFold(5))
        own = {} if named else {"validation_fraction": splitter}
        autoencoder = Autoencoder(
            4, **SMALL, **({"validation_fraction": splitter} if named else {})
        )
        model = head(autoencoder=autoencoder, **own).fit(X, y, groups=GROUPS)
        ((_, seen_y, _),) = model.autoencoder.validation_fraction.calls if named else splitter.calls
        return model, seen_y

    model, seen = fit(mark(y))
    assert_array_equal(seen, y)
    assert_array_equal(outputs(model), outputs(fit(y)[0]))


def test_a_splitter_gets_the_targets_of_a_regressor():
    y = few(AutoencoderRegressor)
    splitter = Recorded(KFold(4))
    assert head(AutoencoderRegressor, validation_fraction=splitter).fit(X, y).validation_scores_
    assert_array_equal(splitter.calls[0][1], y)
    stratified = head(AutoencoderRegressor, validation_fraction=StratifiedShuffleSplit(1))
    with pytest.raises(ValueError, match=r"validation_fraction=Strat.* cannot split .* NaN"):
        stratified.fit(X, y)


def test_splits_may_be_given_as_pairs(watched):
    held_out = np.arange(300) % 4 == 0
    by_fold = PredefinedSplit(np.where(held_out, 0, -1))
    fits = []
    for splits in (by_fold, [(~held_out, held_out)]):
        autoencoder = Autoencoder(4, validation_fraction=splits, **SMALL)
        fits.append(head(autoencoder=autoencoder, validation_fraction=splits).fit(X, Y))
        expected = [(set(np.flatnonzero(held_out)), set(np.flatnonzero(~held_out)))]
        assert watched.of_head == watched.of_autoencoder == expected
    assert_array_equal(outputs(fits[0]), outputs(fits[1]))


def test_a_splitter_that_leaves_no_row_of_a_class_to_train_on():
    by_class = np.argsort(Y, kind="stable")
    with pytest.warns(UserWarning, match=r"no row of \[0, 1\] to train on") as caught:
        head(validation_fraction=KFold(4)).fit(X[by_class], Y[by_class])
    assert len(caught) == 1
    weightless = {"class_weight": {0: 0.0, 1: 0.0}}
    for parameters, weights in (
        ({"validation_fraction": StratifiedShuffleSplit(1, random_state=0)}, None),
        ({"validation_fraction": KFold(5), "n_iter_no_change": 1}, np.where(Y < 2, 0.0, 1.0)),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            head(**parameters).fit(X, Y, weights)
    with pytest.raises(ValueError, match="holds out only rows whose class has weight 0"):
        head(validation_fraction=PredefinedSplit(np.where(Y < 2, 0, -1)), **weightless).fit(X, Y)


@pytest.mark.parametrize(
    ("splitter", "text"),
    [
        (PredefinedSplit(np.arange(100) % 2), r"has 100 entries, but X has 300 rows"),
        (PredefinedSplit(np.arange(301) % 2), r"has 301 entries, but X has 300 rows"),
        ([(np.arange(300), np.arange(-50, 0))], "names row -50, but X has 300 rows"),
        ([(np.arange(250), np.arange(250, 301))], "names row 300, but X has 300 rows"),
        (StratifiedGroupKFold(5), "cannot split the rows: .* Pass groups to fit if"),
    ],
    ids=["few", "many", "negative", "beyond", "no groups"],
)
def test_rows_of_a_splitter_that_x_does_not_have(splitter, text):
    with pytest.raises(ValueError, match=f"^validation_fraction.* {text}"):
        head(validation_fraction=splitter).fit(X, Y)
    with pytest.raises(ValueError, match=f"^autoencoder__validation_fraction.* {text}"):
        head(autoencoder=Autoencoder(4, validation_fraction=splitter, **SMALL)).fit(X, Y)


@pytest.mark.parametrize("value", ["gkf", GroupKFold])
def test_what_is_no_splitter(value):
    for autoencoder in (FITTED, Autoencoder(4, validation_fraction=value, **SMALL)):
        own = {"validation_fraction": value} if autoencoder is FITTED else {}
        with pytest.raises(ValueError, match="'validation_fraction' parameter"):
            head(autoencoder=autoencoder, **own).fit(X, Y)


@pytest.mark.parametrize(
    ("splitter", "n_splits"),
    [
        (PredefinedSplit(np.where(np.arange(300) % 4 == 0, 0, -1)), 1),
        (StratifiedShuffleSplit(1, test_size=0.2, random_state=0), 1),
        (GroupKFold(4), 4),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("cls", HEADS)
def test_a_splitter_of_the_autoencoder_names_the_rows_of_x(watched, cls, splitter, n_splits):
    y = Y.astype(float) if cls is AutoencoderRegressor else Y
    groups = GROUPS if isinstance(splitter, GroupKFold) else None
    expected = [(set(test), set(train)) for train, test in splitter.split(X, Y, groups)]
    assert len(expected) == n_splits
    autoencoder = Autoencoder(4, validation_fraction=splitter, **SMALL)
    model = head(cls, autoencoder, early_stopping=False).fit(X, y, groups=groups)
    assert watched.of_autoencoder == expected
    assert type(model.autoencoder_.validation_fraction) is type(splitter)
    assert model.autoencoder_.get_params().keys() == autoencoder.get_params().keys()


def test_the_autoencoder_is_the_one_of_a_fit_by_hand(watched):
    fold = np.where(np.arange(300) % 4 == 0, 0, -1)
    autoencoder = Autoencoder(4, validation_fraction=PredefinedSplit(fold), **SMALL)
    model = head(autoencoder=autoencoder).fit(X, Y)
    order = watched.rows.numbers  # in which the classifier passes the rows on
    alone = Autoencoder(4, validation_fraction=PredefinedSplit(fold[order]), **SMALL).fit(X[order])
    assert_array_equal(model.autoencoder_.transform(X), alone.transform(X))
    grouped = head(autoencoder=UNFITTED).fit(X, Y, groups=GROUPS)
    alone = Autoencoder(4, **SMALL).fit(X[order], groups=GROUPS[order])
    assert_array_equal(grouped.autoencoder_.transform(X), alone.transform(X))


def test_duplicates_on_both_sides_of_a_splitter_stay_there(watched):
    rows, y = np.vstack([X, X]), np.r_[Y, Y]
    splitter = PredefinedSplit(np.where(np.arange(600) < 300, -1, 0))
    model = head(validation_fraction=splitter).fit(rows, y)
    assert watched.of_head == [(set(range(300, 600)), set(range(300)))]
    # The rows that validate are those that train, so the scores are those of training.
    loss = log_loss(Y, model.predict_proba(X), labels=model.classes_)
    assert max(model.validation_scores_) == pytest.approx(-loss, rel=1e-5)


def examine(rng, n_patients):
    """Return ten similar rows of each patient, the diagnoses and the patients."""
    patients, ill = np.repeat(np.arange(n_patients), 10), np.arange(n_patients) % 2
    rows = rng.normal(size=(n_patients, 8))[patients]
    rows += 0.5 * rng.normal(size=rows.shape)
    rows[:, 0] += ill[patients]
    return rows, ill[patients], patients


def test_rows_of_patients_that_it_knows_do_not_choose_the_epoch():
    held_out, new = np.zeros((2, 2, 4))
    for seed in range(4):
        rng = np.random.default_rng(seed)
        (rows, y, patients), (new_rows, new_y, _) = examine(rng, 40), examine(rng, 400)
        for i, groups in enumerate((None, patients)):
            model = head(autoencoder=UNFITTED, max_iter=60, hidden_layer_sizes=(64,))
            model.fit(rows, y, groups=groups)
            held_out[i, seed] = -max(model.validation_scores_)
            new[i, seed] = log_loss(new_y, model.predict_proba(new_rows))
    without, with_groups = new.mean(axis=1)
    assert with_groups < 0.9 * without
    # Nor is the loss on held-out rows a third of that on new ones.
    assert held_out[0].mean() < 0.4 * without
    assert held_out[1].mean() > 0.5 * with_groups


def test_groups_of_a_table_with_few_distinct_rows(watched):
    """Duplicates would link all groups, so they do not."""
    rng = np.random.default_rng(0)
    rows = rng.integers(2, size=(200, 2)).astype(float)
    groups = np.arange(200) // 20
    model = head(autoencoder=Autoencoder(2, **SMALL)).fit(rows, rows[:, 0], groups=groups)
    assert model.validation_scores_ is not None
    for held_out, training in watched.of_head + watched.of_autoencoder:
        assert set(groups[list(held_out)]).isdisjoint(groups[list(training)])


@pytest.mark.parametrize("seed", range(10))
def test_the_only_group_of_a_class_is_never_held_out(watched, seed):
    y = np.where(GROUPS == 7, 10, Y)
    head(random_state=seed, max_iter=1, validation_fraction=0.4).fit(X, y, groups=GROUPS)
    ((held_out, training),) = watched.of_head
    assert 7 not in GROUPS[list(held_out)]
    assert set(y[list(training)]) == set(range(11))


def test_a_share_of_the_groups_is_held_out(watched):
    for cls in HEADS:
        head(cls, validation_fraction=0.2).fit(X, Y, groups=GROUPS)
        assert len(set(GROUPS[list(watched.of_head[0][0])])) == 6
        head(cls).fit(X, Y, groups=GROUPS % 5)
        assert len(set(GROUPS[list(watched.of_head[0][0])] % 5)) == 1


def test_groups_reach_the_fit_that_holds_rows_out(watched):
    alone = head(autoencoder=TRAINS_ON_ALL).fit(X, Y)
    model = head(autoencoder=TRAINS_ON_ALL).fit(X, Y, groups=GROUPS)
    assert_array_equal(model.autoencoder_.transform(X), alone.autoencoder_.transform(X))
    assert len(watched.of_head) == 1
    model = head(autoencoder=UNFITTED, early_stopping=False)
    assert model.fit(X, Y, groups=GROUPS).validation_scores_ is None
    assert watched.of_head == []
    for held_out, training in watched.of_autoencoder:
        assert set(GROUPS[list(held_out)]).isdisjoint(GROUPS[list(training)])


def test_rows_of_sparse_x_and_of_x_with_missing_entries(watched):
    rows = np.vstack([X, X[:20]])
    y, groups = np.r_[Y, Y[:20]], np.r_[GROUPS, GROUPS[:20]]
    head(autoencoder=UNFITTED).fit(rows, y, groups=groups)
    of_head, of_autoencoder = watched.of_head, watched.of_autoencoder
    head(autoencoder=UNFITTED).fit(csr_array(rows), y, groups=groups)
    assert watched.of_head == of_head
    assert watched.of_autoencoder == of_autoencoder
    rows[::20] = np.nan  # equal rows of many groups, which NaN links
    groups[::20] = groups[0]
    denoiser = DenoisingAutoencoder(4, **SMALL)
    head(autoencoder=denoiser).fit(rows, y, groups=groups)
    for held_out, training in watched.of_head + watched.of_autoencoder:
        assert set(groups[list(held_out)]).isdisjoint(groups[list(training)])


def test_with_fewer_than_ten_labels_none_are_held_out():
    y = np.where(np.arange(300) < 9, Y, -1)
    assert head().fit(X, y, groups=GROUPS).validation_scores_ is None
    by_name = head(validation_fraction=PredefinedSplit(np.where(np.arange(300) < 2, 0, -1)))
    with pytest.warns(UserWarning, match=r"leaves no row of \[0, 1\] to train on"):
        assert by_name.fit(X, y).validation_scores_ is not None


@pytest.mark.parametrize("cls", HEADS)
def test_groups_reach_a_step_of_a_pipeline_and_of_a_search(cls):
    scaled = StandardScaler().fit_transform(X)
    settings = {"autoencoder": UNFITTED}
    direct = head(cls, **settings).fit(scaled, Y, groups=GROUPS)
    by_name = make_pipeline(StandardScaler(), head(cls, **settings))
    by_name.fit(X, Y, **{f"{cls.__name__.lower()}__groups": GROUPS})
    assert by_name[-1].validation_scores_ == direct.validation_scores_
    with config_context(enable_metadata_routing=True):
        step = head(cls, **settings).set_fit_request(groups=True)
        routed = make_pipeline(StandardScaler(), step).fit(X, Y, groups=GROUPS)
        assert routed[-1].validation_scores_ == direct.validation_scores_
        grid = {f"{cls.__name__.lower()}__freeze": [True, False]}
        search = GridSearchCV(
            make_pipeline(StandardScaler(), step), grid, cv=GroupKFold(3), error_score="raise"
        ).fit(X, Y, groups=GROUPS)
        best = head(cls, freeze=search.best_estimator_[-1].freeze, **settings)
        expected = best.fit(scaled, Y, groups=GROUPS)
        assert search.best_estimator_[-1].validation_scores_ == expected.validation_scores_
    by_splitter = head(cls, validation_fraction=StratifiedGroupKFold(5), **settings)
    assert by_splitter.fit(X, Y, groups=GROUPS).validation_scores_ is not None


@pytest.mark.parametrize("cls", HEADS)
@pytest.mark.parametrize(
    ("parameters", "groups", "text"),
    [
        ({}, np.zeros(300), "groups has a single group"),
        ({}, np.arange(299), "X has 300 rows, but groups has 299 entries"),
        ({}, [None, *range(299)], "groups has no value for row 0"),
        ({}, np.r_[np.arange(299.0), np.nan], "groups has no value for row 299"),
        (
            {"early_stopping": False},
            GROUPS,
            "early_stopping=False, and the autoencoder is already fitted. Set early_stopping=True",
        ),
        (
            {"early_stopping": False, "autoencoder": TRAINS_ON_ALL},
            GROUPS,
            "early_stopping=False here and in the autoencoder. Set early_stopping=True in one of",
        ),
        (
            {"early_stopping": False, "validation_fraction": KFold(3), "autoencoder": UNFITTED},
            None,
            "A splitter as validation_fraction .* but early_stopping=False. Set early_stopping=T",
        ),
        ({"validation_fraction": PredefinedSplit([-1] * 300)}, None, "makes 0 splits"),
        ({"validation_fraction": 3}, None, "'validation_fraction' parameter"),
        (
            {"validation_fraction": PredefinedSplit(np.where(np.arange(300) < 2, 0, -1))},
            None,
            "In the split of validation_fraction, 199 labelled rows train and 0 are held out",
        ),
    ],
)
def test_bad_groups_and_splitters(cls, parameters, groups, text):
    y = few(cls)
    y[1] = y[0]
    with pytest.raises(ValueError, match=text):
        head(cls, **parameters).fit(X, y, groups=groups)


class NoFit(Autoencoder):
    """An autoencoder whose fit would take long."""

    def fit(self, X, y=None, *, groups=None):
        raise AssertionError


def test_groups_that_cannot_be_held_out():
    autoencoder = NoFit(4)  # the error comes before the fit
    each_its_class = np.repeat(np.arange(3), 100)
    with pytest.raises(ValueError, match=r"form only 3 groups, .* Each class needs a group"):
        head(autoencoder=autoencoder).fit(X, each_its_class, groups=each_its_class)
    groups = np.arange(300) // 20
    y = np.where(groups == 3, Y, np.nan)
    with pytest.raises(ValueError, match=r"form only 1 group, .* as one. Set early_stopping=False"):
        head(AutoencoderRegressor, autoencoder).fit(X, y, groups=groups)
    rows = np.tile(X[:20], (15, 1))
    with pytest.raises(ValueError, match="groups that share duplicate rows count as one"):
        head(autoencoder=autoencoder).fit(rows, np.tile(Y[:20], 15), groups=groups)
    with pytest.raises(ValueError, match="holds out only rows whose class has weight 0"):
        head(
            autoencoder=autoencoder,
            class_weight={0: 0.0},
            validation_fraction=PredefinedSplit(np.where(Y == 0, 0, -1)),
        ).fit(X, Y)
