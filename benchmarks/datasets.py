"""The data sets that benchmarks run on, each a loader by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
import sklearn.datasets
from numpy.typing import NDArray
from scipy.sparse import csr_array, csr_matrix, diags_array
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.utils.sparsefuncs import mean_variance_axis

Data = tuple[NDArray[np.floating], NDArray]

PROJECT_ROOT = Path(__file__).resolve().parent.parent
SCIKIT_LEARN_SETS = ("breast_cancer", "diabetes", "digits", "iris", "linnerud", "wine")
TABULAR_SETS = (
    "adult",
    "clean2",
    "coil2000",
    "letter",
    "magic",
    "mfeat_factors",
    "mfeat_pixel",
    "pendigits",
    "satimage",
    "segmentation",
    "shuttle",
    "spambase",
    "splice",
    "texture",
    "waveform_40",
)
MNIST_TRAINING_ROWS = 60_000


def data_directory(given: str | Path | None = None) -> Path:
    """Directory of the data files: the one given, else ``SKAE_DATA``, else ``../shared/data``."""
    default = PROJECT_ROOT.parent / "shared" / "data"
    return Path(given or os.environ.get("SKAE_DATA") or default)


def _load_scikit_learn(directory: Path, *, name: str) -> Data:
    bunch = getattr(sklearn.datasets, f"load_{name}")()
    return np.asarray(bunch.data, dtype=np.float64), np.asarray(bunch.target)


def _load_tabular(directory: Path, *, name: str) -> Data:
    import pandas as pd  # only these files need it

    table = pd.read_csv(directory / "tabular" / f"{name}.tsv.gz", sep="\t")
    features = table.drop(columns="target")
    return features.to_numpy(dtype=np.float64), table["target"].to_numpy()


def _load_images(directory: Path, *, name: str, openml: str) -> Data:
    """Return 70,000 rows of pixels in [0, 1], float32; the first 60,000 are the training part."""
    path = directory / f"{name}.npz"
    if path.exists():
        with np.load(path) as arrays:
            images = np.concatenate([arrays["X_train"], arrays["X_test"]])
            y = np.concatenate([arrays["y_train"], arrays["y_test"]])
    else:
        images, y = sklearn.datasets.fetch_openml(
            openml, version=1, return_X_y=True, as_frame=False
        )
    return images.reshape(len(images), -1).astype(np.float32) / 255, y.astype(np.int64)


def _load_olivetti(directory: Path) -> Data:
    """Return 400 faces of 64 x 64 pixels in [0, 1], float32."""
    path = directory / "olivetti.npz"
    if path.exists():
        with np.load(path) as arrays:
            y = arrays["y"]
            faces = arrays["X"].reshape(len(y), -1).astype(np.float32) / 255
    else:
        faces, y = sklearn.datasets.fetch_olivetti_faces(return_X_y=True)
    return faces, y


def load_newsgroups(
    n_words: int, directory: str | Path | None = None
) -> tuple[csr_array, NDArray, csr_array, NDArray]:
    """Load counts of the commonest words of 20 newsgroups: training and test part, with labels."""
    parts = [
        sklearn.datasets.fetch_20newsgroups(subset=subset, data_home=data_directory(directory))
        for subset in ("train", "test")
    ]
    words = CountVectorizer(max_features=n_words, stop_words="english", dtype=np.float32)
    train = words.fit_transform(parts[0].data)
    return train, parts[0].target, words.transform(parts[1].data), parts[1].target


def _load_usps(directory: Path) -> Data:
    """Return 7291 and then 2007 digits of 16 x 16 pixels in [0, 1], float32."""
    path = directory / "usps.npz"
    if path.exists():
        with np.load(path) as arrays:
            images = np.concatenate([arrays["X_train"], arrays["X_test"]])
            y = np.concatenate([arrays["y_train"], arrays["y_test"]])
        return images.reshape(len(images), -1), y.astype(np.int64)
    X, y = sklearn.datasets.fetch_openml("USPS", version=2, return_X_y=True, as_frame=False)
    return ((X + 1) / 2).astype(np.float32), y.astype(np.int64)


def _load_pbmc3k(directory: Path) -> Data:
    """Return 2700 cells: log counts per 10,000 of the 2000 genes that vary most, and cell types."""
    with np.load(directory / "pbmc3k.npz") as arrays:
        parts = (arrays["data"].astype(np.float64), arrays["indices"], arrays["indptr"])
        counts = csr_array(parts, shape=tuple(arrays["shape"]))
        y = arrays["cell_type"]
    totals = np.asarray(counts.sum(axis=1)).ravel()
    logs = (diags_array(1e4 / totals) @ counts).log1p()
    variances = mean_variance_axis(csr_matrix(logs), axis=0)[1]
    chosen = np.sort(np.argsort(variances)[-2000:])
    return logs.tocsc()[:, chosen].toarray().astype(np.float32), y


def _load_newsgroups_weights(directory: Path) -> Data:
    """Return tf-idf weights of the 2000 commonest words, dense: training part, then test part."""
    counts, y, test_counts, test_y = load_newsgroups(2000, directory)
    weights = TfidfTransformer(sublinear_tf=True).fit(counts)
    parts = [weights.transform(part).toarray() for part in (counts, test_counts)]
    return np.concatenate(parts).astype(np.float32), np.concatenate([y, test_y])


DATASETS: dict[str, Callable[[Path], Data]] = {
    **{name: partial(_load_scikit_learn, name=name) for name in SCIKIT_LEARN_SETS},
    **{name: partial(_load_tabular, name=name) for name in TABULAR_SETS},
    "mnist": partial(_load_images, name="mnist", openml="mnist_784"),
    "fashion_mnist": partial(_load_images, name="fashion_mnist", openml="Fashion-MNIST"),
    "newsgroups": _load_newsgroups_weights,
    "olivetti": _load_olivetti,
    "pbmc3k": _load_pbmc3k,
    "usps": _load_usps,
}


def load(name: str, directory: str | Path | None = None) -> Data:
    """Load a data set.

    Parameters
    ----------
    name : str
        A key of `DATASETS`.
    directory : str or Path, optional
        See `data_directory`.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,) or (n_samples, n_targets)
    """
    return DATASETS[name](data_directory(directory))


@cache
def some_rows(name: str, most: int, directory: str | None = None, seed: int = 0) -> Data:
    """Return at most so many rows of a set, drawn at random, and their labels numbered from 0."""
    X, y = load(name, directory)
    chosen = np.random.default_rng(seed).permutation(len(X))[:most]
    return X[chosen], np.unique(y[chosen], return_inverse=True)[1]


def is_here(name: str, directory: str | Path | None = None) -> bool:
    """Whether a set can be loaded without a download."""
    directory = data_directory(directory)
    if name in TABULAR_SETS:
        return (directory / "tabular" / f"{name}.tsv.gz").exists()
    return name in SCIKIT_LEARN_SETS or (directory / f"{name}.npz").exists()
