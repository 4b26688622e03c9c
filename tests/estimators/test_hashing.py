"""Hashing autoencoder: bits, look-ups, sparse X."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
import torch
from instances import make_fast
from scipy.sparse import csc_array, csr_array, csr_matrix, random_array
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from skae import Autoencoder, AutoencoderClassifier, HashingAutoencoder
from skae.core.csr_rows import CSRRows


def fast(n_components=16, **parameters) -> HashingAutoencoder:
    defaults = {"hidden_layer_sizes": (32,), "max_iter": 15, "random_state": 0}
    return HashingAutoencoder(n_components, **(defaults | parameters))


def topics(n_rows=400, n_words=60, n_topics=4, seed=0) -> tuple[np.ndarray, np.ndarray]:
    """Return counts of words in documents, each of one topic with words of its own."""
    rng = np.random.default_rng(seed)
    y = rng.integers(n_topics, size=n_rows)
    rates = np.full((n_topics, n_words), 0.1)
    for topic, words in enumerate(np.array_split(np.arange(n_words), n_topics)):
        rates[topic, words] = 1.0
    return rng.poisson(rates[y]).astype(np.float64), y


@pytest.fixture(scope="module")
def model(digits):
    return fast().fit(digits[:1000])


# -- codes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_code_is_0_or_1_in_the_type_of_x(model, digits, dtype):
    code = model.transform(digits[1000:].astype(dtype))
    assert code.dtype == dtype
    assert set(np.unique(code)) == {0.0, 1.0}


@pytest.mark.parametrize("straight_through", [False, True])
def test_bits_are_balanced(held_out_split, straight_through):
    X, fresh = held_out_split("digits")
    fitted = fast(32, straight_through=straight_through).fit(X)
    share = fitted.transform(X).mean(axis=0)
    assert np.abs(share - 0.5).max() < 0.02
    share = fitted.transform(fresh).mean(axis=0)
    assert share.min() > 0.3
    assert share.max() < 0.7


@pytest.mark.parametrize("n_components", [1, 7, 8, 9, 64, 70])
def test_hash_is_packed_as_by_numpy(digits, n_components):
    fitted = fast(n_components, max_iter=2).fit(digits[:200])
    code = fitted.transform(digits[200:300])
    hashes = fitted.hash(digits[200:300])
    assert hashes.dtype == np.uint8
    assert hashes.shape == (100, -(-n_components // 8))
    unpacked = np.unpackbits(hashes, axis=1, count=n_components)
    assert np.array_equal(unpacked, code)


def test_hashes_are_those_of_the_training_rows(model, digits):
    assert np.array_equal(model.hashes_, model.hash(digits[:1000]))


def test_bits_are_1_above_the_thresholds(model, digits):
    fitted, X = model._model, torch.from_numpy(digits)
    units = fitted.network_in(X.dtype).encoder(fitted.standardise(X))
    above = units.detach().numpy() > model.thresholds_
    assert np.array_equal(above, model.transform(digits))


def test_units_that_vary_by_rounding_alone_are_bits_of_0(digits):
    """Strong weight decay makes units collapse; no threshold may lie within their rounding."""
    model = HashingAutoencoder(
        32, weight_decay=200, activation="relu", random_state=0, max_iter=10
    ).fit(digits)
    for rows in (digits, digits.astype(np.float32), digits[::-1][::-1]):
        assert np.array_equal(model.hash(rows), model.hashes_)
    single = np.concatenate([model.hash(row[None]) for row in digits[:50]])
    assert np.array_equal(single, model.hashes_[:50])


def test_noise_and_rounding_make_codes_that_survive_rounding(held_out_split):
    X, fresh = held_out_split("digits")
    options = {"hidden_layer_sizes": (64,), "max_iter": 60, "early_stopping": False}
    scores = [
        fast(32, noise_level=noise_level, straight_through=rounded, **options).fit(X).score(fresh)
        for noise_level, rounded in ((0.0, False), (1.0, False), (0.0, True))
    ]
    assert min(scores[1:]) > scores[0] + 0.01


def test_inverse_transform_takes_bits(model, digits):
    bits = model.transform(digits[:5])
    rows = model.inverse_transform(bits)
    assert rows.shape == (5, 64)
    np.testing.assert_allclose(rows, model.reconstruct(digits[:5]))
    assert np.square(rows - digits[:5]).sum() < np.square(digits[:5] - model.mean_).sum()


def test_float32_far_from_zero_has_the_codes_of_the_fit():
    X = (np.random.default_rng(0).normal(size=(300, 6)) + 1e6).astype(np.float32)
    hashing = fast(16, hidden_layer_sizes=()).fit(X)
    assert np.array_equal(hashing.hash(X), hashing.hashes_)
    code = make_fast(Autoencoder, 2).fit(X).transform(X)
    np.testing.assert_allclose(code.mean(axis=0), 0.0, atol=1e-6)


def test_pickle_keeps_the_codes(model, digits):
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.hash(digits), model.hash(digits))
    assert np.array_equal(again.kneighbors(digits)[1], model.kneighbors(digits)[1])


def test_warm_start_continues(digits):
    X = digits[:600]
    options = {"warm_start": True, "early_stopping": False, "max_iter": 10}
    fitted = fast(**options).fit(X)
    first = fitted.loss_curve_
    assert fitted.set_params(noise_level=3.0).fit(X).loss_curve_[0] < first[0] - 0.05


def test_a_part_that_diverged_does_not_change_the_thresholds(digits):
    hashing = fast(max_iter=5).fit(digits)
    before = hashing.thresholds_
    outlying = digits.copy()
    outlying[0, 0] = 1e38
    with pytest.warns(ConvergenceWarning, match="best state is that of the start"):
        hashing.partial_fit(outlying)
    np.testing.assert_allclose(hashing.thresholds_, before, atol=1e-6)


def test_partial_fit_keeps_bits_balanced_and_accepts_a_single_row(digits):
    fitted = fast()
    for part in np.array_split(digits, 6):
        fitted.partial_fit(part)
    assert len(fitted.hashes_) == len(part)
    for rows in (part, digits[:1]):
        share = fitted.partial_fit(rows).transform(digits).mean(axis=0)
        assert share.min() > 0.2
        assert share.max() < 0.8


def test_rows_without_any_entry_are_the_same_sparse_and_dense(digits):
    empty = np.zeros((3, 64))
    dense, sparse = (fast(max_iter=5).partial_fit(digits[:300]) for _ in range(2))
    dense.partial_fit(empty)
    sparse.partial_fit(csr_matrix(empty))
    np.testing.assert_allclose(sparse.components_, dense.components_, atol=1e-6)


def test_batches_of_one_row_learn(digits):
    fitted = fast(batch_size=1, max_iter=3, early_stopping=False).fit(digits[:300])
    assert fitted.loss_curve_[-1] < fitted.loss_curve_[0] - 0.05


# -- look-ups -----------------------------------------------------------------------------------


def test_kneighbors_agrees_with_scikit_learn(model, digits):
    X, queries = digits[:1000], digits[1000:1100]
    distances, indices = model.kneighbors(queries, n_neighbors=10)
    oracle = NearestNeighbors(n_neighbors=10, metric="hamming", algorithm="brute")
    expected = oracle.fit(model.transform(X)).kneighbors(model.transform(queries))[0] * 16
    np.testing.assert_allclose(distances, expected, atol=1e-9)
    assert indices.shape == (100, 10)
    assert np.array_equal(model.kneighbors(queries, 10, return_distance=False), indices)


def test_kneighbors_of_the_training_rows_leaves_each_out(model):
    distances, indices = model.kneighbors(n_neighbors=3)
    assert indices.shape == (1000, 3)
    assert not (indices == np.arange(1000)[:, None]).any()
    assert (np.diff(distances, axis=1) >= 0).all()


def test_neighbours_are_alike():
    X, y = load_digits(return_X_y=True)
    fitted = fast(32, max_iter=40).fit(X[:1400])
    neighbours = fitted.kneighbors(X[1400:], 10, return_distance=False)
    assert (y[neighbours] == y[1400:, None]).mean() > 0.75


# -- sparse X -----------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["multinomial", "poisson", "squared_error"])
@pytest.mark.parametrize("container", [csr_array, csr_matrix, csc_array])
def test_sparse_and_dense_are_fitted_alike(loss, container):
    X, _ = topics()
    options = {"loss": loss, "max_iter": 5}
    dense, sparse = fast(**options).fit(X), fast(**options).fit(container(X))
    np.testing.assert_allclose(sparse.loss_curve_, dense.loss_curve_, rtol=1e-3)
    np.testing.assert_allclose(sparse.mean_, dense.mean_)
    agreement = (sparse.transform(container(X)) == dense.transform(X)).mean()
    assert agreement > 0.99


def test_methods_on_sparse_x_are_those_on_dense_x():
    X, _ = topics()
    sparse = csr_array(X)
    fitted = fast(loss="multinomial").fit(sparse)
    assert np.array_equal(fitted.transform(sparse), fitted.transform(X))
    assert np.array_equal(fitted.hash(sparse), fitted.hash(X))
    assert np.array_equal(fitted.kneighbors(sparse)[1], fitted.kneighbors(X)[1])
    np.testing.assert_allclose(fitted.reconstruct(sparse), fitted.reconstruct(X))
    np.testing.assert_allclose(fitted.reconstruction_error(sparse), fitted.reconstruction_error(X))
    assert fitted.score(sparse) == pytest.approx(fitted.score(X), rel=1e-12)
    errors = fitted.reconstruction_error(sparse, per_feature=True)
    assert errors.shape == X.shape


def test_duplicate_entries_are_summed_and_x_is_not_changed():
    rows, columns = np.array([0, 0, 1, 2, 3]), np.array([1, 1, 0, 2, 2])
    indptr = np.array([0, 2, 3, 4, 5])
    X = csr_matrix((np.ones(5), columns, indptr), shape=(4, 3))
    summed = X.copy()
    summed.sum_duplicates()
    fitted = fast(4, max_iter=2).fit(X)
    assert X.nnz == len(rows)
    np.testing.assert_allclose(fitted.mean_, summed.toarray().mean(axis=0))
    assert np.array_equal(fitted.transform(X), fitted.transform(summed))


def test_a_stored_zero_is_a_zero():
    counts, _ = topics(60)
    X = csr_array(np.c_[np.tile(counts, (2, 1)), np.zeros(120)])
    stored = csr_array(np.c_[np.tile(counts, (2, 1)), np.repeat([0.0, 1.0], 60)])
    stored.data[stored.indptr[61:] - 1] = 0  # the last entries of the duplicates
    assert stored.nnz == X.nnz + 60
    one, other = fast(4, max_iter=2).fit(stored), fast(4, max_iter=2).fit(X)
    assert one.loss_curve_ == other.loss_curve_
    assert np.array_equal(one.hashes_, other.hashes_)


def test_float32_counts_are_summed_in_float64():
    values = np.full((100_000, 2), 1000.3, dtype=np.float32)
    values[:, 1] += np.random.default_rng(0).random(100_000, dtype=np.float32)
    options = {"max_iter": 1, "hidden_layer_sizes": (), "batch_size": 10_000}
    sparse, dense = fast(4, **options).fit(csr_array(values)), fast(4, **options).fit(values)
    np.testing.assert_allclose(sparse.mean_, dense.mean_, rtol=1e-12)
    assert sparse._model.scale == pytest.approx(dense._model.scale, rel=1e-5)


def test_a_constant_column_of_sparse_x_does_not_reach_the_code(rng):
    X = rng.poisson(0.5, (301, 20)).astype(np.float64)
    X[:, 3] = 0.1
    fitted = fast(max_iter=3).fit(csr_array(X))
    changed = X.copy()
    changed[:, 3] = 0.9
    assert np.array_equal(fitted.transform(csr_array(changed)), fitted.transform(csr_array(X)))
    constant = np.full((30, 5), 0.1)
    assert fast(max_iter=3).fit(csr_array(constant)).score(csr_array(constant)) == 1.0


def test_read_only_sparse_x_does_not_warn():
    X = csr_array(topics()[0])
    for part in (X.data, X.indices, X.indptr):
        part.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fast(max_iter=2).fit(X).transform(X)


def test_wide_sparse_x_is_never_made_dense(monkeypatch):
    largest = []
    dense_rows, dense_array = CSRRows.__getitem__, csr_array.toarray

    def record(function):
        def recorded(*arguments):
            result = function(*arguments)
            largest.append(int(np.prod(result.shape)))
            return result

        return recorded

    monkeypatch.setattr(CSRRows, "__getitem__", record(dense_rows))
    monkeypatch.setattr(csr_array, "toarray", record(dense_array))
    shape = (4000, 20_000)
    X = csr_array(random_array(shape, density=5e-4, rng=0, dtype=np.float32))
    fitted = fast(8, loss="multinomial", hidden_layer_sizes=(), max_iter=1, batch_size=100).fit(X)
    fitted.kneighbors(X[:50])
    fitted.score(X)
    assert max(largest) <= 2**24 < np.prod(shape) / 4


def test_rows_stay_scaled_after_the_loss_parameter_changed():
    X, _ = topics()
    fitted = fast(8, loss="multinomial", max_iter=2).fit(X)
    code = fitted.transform(X)
    np.testing.assert_array_equal(fitted.set_params(loss="poisson").transform(X), code)


def test_multinomial_finds_topics():
    X, y = topics()
    fitted = fast(8, loss="multinomial", max_iter=60).fit(csr_array(X))
    neighbours = fitted.kneighbors(n_neighbors=10, return_distance=False)
    assert (y[neighbours] == y[:, None]).mean() > 0.9


def test_multinomial_reconstructs_shares_of_a_mean_row_of_length_1():
    X, _ = topics()
    rows = fast(8, loss="multinomial").fit(X).reconstruct(X)
    assert (rows >= 0).all()
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    np.testing.assert_allclose(rows.sum(axis=1), unit.sum(axis=1).mean())


def test_codes_of_counts_do_not_depend_on_the_length_of_a_document(rng):
    X, _ = topics()
    longer = X * 2.0 ** rng.integers(-3, 12, size=(len(X), 1))
    one, other = (fast(8, loss="multinomial").fit(rows) for rows in (X, csr_array(longer)))
    assert np.array_equal(one.transform(X), other.transform(longer))
    assert np.array_equal(one.transform(X), one.transform(csr_array(longer)))
    assert other.score(longer) == pytest.approx(one.score(X), rel=1e-6)


@pytest.mark.parametrize("longest", [1, 1000])
def test_long_documents_do_not_hide_the_topics_of_the_others(longest):
    X, y = topics()
    X[:3] *= longest
    fitted = fast(8, loss="multinomial", max_iter=30).fit(csr_array(X))
    neighbours = fitted.kneighbors(n_neighbors=10, return_distance=False)
    assert (y[neighbours] == y[:, None]).mean() > 0.9


def test_a_classifier_on_bits_of_counts_sees_rows_of_length_1():
    X, y = topics(200)
    classifier = AutoencoderClassifier(fast(8, loss="multinomial"), max_iter=20, random_state=0)
    classifier.fit(X * 2.0 ** (np.arange(len(X)) % 9)[:, None], y)
    assert classifier.score(X, y) > 0.6
    np.testing.assert_array_equal(classifier.predict_proba(512 * X), classifier.predict_proba(X))


def test_in_a_pipeline_with_sparse_x():
    X, _ = topics()
    pipeline = make_pipeline(MaxAbsScaler(), fast(8, loss="multinomial"))
    assert pipeline.fit_transform(csr_array(X)).shape == (400, 8)


def test_bits_under_a_classifier():
    X, y = load_digits(return_X_y=True)
    few = np.where(np.arange(len(y)) % 9 == 0, y, -1)
    bits = fast(32, hidden_layer_sizes=(64,), max_iter=40)
    classifier = AutoencoderClassifier(bits, freeze=True, max_iter=60, random_state=0)
    assert classifier.fit(X, few).score(X, y) > 0.85


# -- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n_components", [0, -1, 1.5, 0.5, True, "many"])
def test_number_of_bits(digits, n_components):
    with pytest.raises(ValueError, match="The 'n_components' parameter"):
        fast(n_components).fit(digits)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"noise_level": -1.0}, "The 'noise_level' parameter"),
        ({"straight_through": "yes"}, "The 'straight_through' parameter"),
    ],
)
def test_parameters(digits, parameters, message):
    with pytest.raises(ValueError, match=message):
        fast(**parameters).fit(digits)


@pytest.mark.parametrize("name", ["shortcut", "code_activation"])
def test_not_parameters(name):
    with pytest.raises(TypeError, match=name):
        HashingAutoencoder(**{name: "identity"})


@pytest.mark.parametrize("loss", ["poisson", "multinomial"])
@pytest.mark.parametrize("container", [np.asarray, csr_array])
def test_negative_counts(loss, container):
    X, _ = topics()
    X[3, 2] = -2
    with pytest.raises(ValueError, match=rf"loss='{loss}' needs counts.*smallest value is -2"):
        fast(loss=loss).fit(container(X))


def test_bad_input_of_kneighbors(model, digits):
    with pytest.raises(ValueError, match="n_neighbors=1001, but there are 1000 rows"):
        model.kneighbors(digits[:2], 1001)
    with pytest.raises(ValueError, match="n_neighbors=1000, but there are 999 rows"):
        model.kneighbors(n_neighbors=1000)
    with pytest.raises(ValueError, match="n_neighbors=0 must be an int of 1 or more"):
        model.kneighbors(digits[:2], 0)
    with pytest.raises(ValueError, match="X has 3 features, but HashingAutoencoder is expecting"):
        model.kneighbors(digits[:2, :3])


@pytest.mark.parametrize("method", ["kneighbors", "hash"])
def test_before_fit(digits, method):
    with pytest.raises(NotFittedError):
        getattr(fast(), method)(digits)
