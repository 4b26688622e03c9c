"""Scripts written for PCA, in the style of scikit-learn's gallery, with the import swapped."""

from __future__ import annotations

import numpy as np
import pytest
from instances import shorten_fits
from sklearn import datasets
from sklearn.decomposition import NMF
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import LinearSVC

from skae import Autoencoder as PCA  # noqa: N814 (the swap that this file is about)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Scripts pass no `max_iter`; few epochs are enough for what is compared here."""
    shorten_fits(monkeypatch, 20)


@pytest.fixture(autouse=True)
def seeded():
    """Many scripts do so at the top; the estimator has no `random_state` set."""
    np.random.seed(0)  # noqa: NPY002 (the generator that random_state=None stands for)


def test_choosing_the_number_of_components_before_a_classifier():
    """As plot_digits_pipe does."""
    X, y = datasets.load_digits(return_X_y=True)
    X, y = X[:1000], y[:1000]
    pca = PCA()
    pipe = Pipeline(
        steps=[
            ("scaler", StandardScaler()),
            ("pca", pca),
            ("logistic", LogisticRegression(max_iter=10000, tol=0.1)),
        ]
    )
    grid = {"pca__n_components": [2, 20], "logistic__C": [1.0]}
    search = GridSearchCV(pipe, grid, cv=2, refit=False).fit(X, y)
    two, twenty = search.cv_results_["mean_test_score"]
    assert two > 0.432  # PCA's, on these rows and folds
    assert twenty > 0.797

    # The scree plot beside it.
    pca.set_params(n_components=20).fit(X)
    ratios = pca.explained_variance_ratio_
    assert ratios.shape == (20,) == (pca.n_components_,)
    assert (np.diff(ratios) <= 1e-3).all()
    assert 0.7 < ratios.sum() <= 1


@pytest.mark.filterwarnings(
    "ignore:Features .* are constant:UserWarning",  # of SelectKBest
    "ignore:invalid value encountered in divide:RuntimeWarning",
)
def test_comparing_reducers_in_one_search():
    """As plot_compare_reduction does."""
    X, y = datasets.load_digits(return_X_y=True)
    X, y = X[:1000], y[:1000]
    pipe = Pipeline(
        [
            ("scaling", MinMaxScaler(clip=True)),
            ("reduce_dim", "passthrough"),
            ("classify", LinearSVC(dual=False, max_iter=10000)),
        ]
    )
    reducers = [PCA(max_iter=20, hidden_layer_sizes=(32,)), NMF(max_iter=1000, tol=1e-2)]
    grid = [
        {"reduce_dim": reducers, "reduce_dim__n_components": [4, 12]},
        {"reduce_dim": [SelectKBest(f_classif)], "reduce_dim__k": [4, 12]},
    ]
    search = GridSearchCV(pipe, grid, cv=2, refit=False).fit(X, y)
    scores = np.asarray(search.cv_results_["mean_test_score"]).reshape(3, 2)
    assert np.isfinite(scores).all()
    assert (scores[0] > scores[2]).all()  # better than choosing pixels
    assert scores[0, 1] > 0.75


@pytest.mark.parametrize("n_components", [2, 3])
def test_iris_in_a_few_dimensions(n_components):
    """As plot_pca_iris does."""
    iris = datasets.load_iris()
    X_reduced = PCA(n_components=n_components).fit_transform(iris.data)
    assert X_reduced.shape == (150, n_components)
    # Setosa lies apart from the others along the first axis, as under PCA.
    first = X_reduced[:, 0]
    setosa, others = first[iris.target == 0], first[iris.target != 0]
    assert setosa.max() < others.min()


def test_components_as_images():
    pca = PCA(n_components=6, max_iter=10).fit(datasets.load_digits().data[:600])
    images = pca.components_.reshape((pca.n_components_, 8, 8))
    assert np.linalg.norm(images, axis=(1, 2)) == pytest.approx(np.ones(6), abs=0.5)
    np.testing.assert_allclose(pca.mean_, datasets.load_digits().data[:600].mean(0))
