"""The data sets of the benchmarks."""

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


def data_directory(directory: str | Path | None = None) -> Path:
    """Return the folder of the data files (default: ``SKAE_DATA``, then ``../shared/data``)."""
    default = PROJECT_ROOT.parent / "shared" / "data"
    return Path(directory or os.environ.get("SKAE_DATA") or default)


def _load_scikit_learn(directory: Path, *, name: str) -> Data:
    bunch = getattr(sklearn.datasets, f"load_{name}")()
    return np.asarray(bunch.data, dtype=np.float64), np.asarray(bunch.target)


def _load_tabular(directory: Path, *, name: str) -> Data:
    import pandas as pd  # needed by these files only

    table = pd.read_csv(directory / "tabular" / f"{name}.tsv.gz", sep="\t")
    features = table.drop(columns="target")
    return features.to_numpy(dtype=np.float64), table["target"].to_numpy()


def _load_images(directory: Path, *, name: str, openml: str) -> Data:
    """Return 60,000 training and 10,000 test images as rows of float32 pixels in [0, 1]."""
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
    """Return 400 faces as rows of 64 x 64 float32 pixels in [0, 1]."""
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
    """Return word counts and labels of 20 newsgroups, for the training and the test documents."""
    parts = [
        sklearn.datasets.fetch_20newsgroups(subset=subset, data_home=data_directory(directory))
        for subset in ("train", "test")
    ]
    words = CountVectorizer(max_features=n_words, stop_words="english", dtype=np.float32)
    train = words.fit_transform(parts[0].data)
    return train, parts[0].target, words.transform(parts[1].data), parts[1].target


def _load_usps(directory: Path) -> Data:
    """Return 7291 training and 2007 test digits as rows of 16 x 16 float32 pixels in [0, 1]."""
    path = directory / "usps.npz"
    if path.exists():
        with np.load(path) as arrays:
            images = np.concatenate([arrays["X_train"], arrays["X_test"]])
            y = np.concatenate([arrays["y_train"], arrays["y_test"]])
        return images.reshape(len(images), -1), y.astype(np.int64)
    X, y = sklearn.datasets.fetch_openml("USPS", version=2, return_X_y=True, as_frame=False)
    return ((X + 1) / 2).astype(np.float32), y.astype(np.int64)


def load_pbmc3k_counts(directory: str | Path | None = None) -> tuple[csr_array, np.ndarray]:
    """Return 2700 cells: counts of 13,714 genes, and cell types."""
    with np.load(data_directory(directory) / "pbmc3k.npz") as arrays:
        parts = (arrays["data"].astype(np.float64), arrays["indices"], arrays["indptr"])
        return csr_array(parts, shape=tuple(arrays["shape"])), arrays["cell_type"]


def _load_pbmc3k(directory: Path) -> Data:
    """Return 2700 cells: log counts per 10,000 of the 2000 most variable genes, and cell types."""
    counts, y = load_pbmc3k_counts(directory)
    totals = np.asarray(counts.sum(axis=1)).ravel()
    logs = (diags_array(1e4 / totals) @ counts).log1p()
    variances = mean_variance_axis(csr_matrix(logs), axis=0)[1]
    chosen = np.sort(np.argsort(variances)[-2000:])
    return logs.tocsc()[:, chosen].toarray().astype(np.float32), y


def _load_newsgroups_weights(directory: Path) -> Data:
    """Return dense tf-idf weights of the 2000 most frequent words, training documents first."""
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
def subsample(name: str, n_rows: int, directory: str | None = None, seed: int = 0) -> Data:
    """Draw at most `n_rows` rows of a data set; their labels are encoded as 0, 1, ..."""
    X, y = load(name, directory)
    chosen = np.random.default_rng(seed).permutation(len(X))[:n_rows]
    return X[chosen], np.unique(y[chosen], return_inverse=True)[1]


def is_available(name: str, directory: str | Path | None = None) -> bool:
    """Whether a data set can be loaded without a download."""
    directory = data_directory(directory)
    if name in TABULAR_SETS:
        return (directory / "tabular" / f"{name}.tsv.gz").exists()
    return name in SCIKIT_LEARN_SETS or (directory / f"{name}.npz").exists()


def load_mnist(n_training: int, directory: str | Path | None = None) -> tuple[Data, Data]:
    """Return the first `n_training` rows and labels of MNIST, and its test rows and labels."""
    X, y = load("mnist", directory)
    return (X[:n_training], y[:n_training]), (X[MNIST_TRAINING_ROWS:], y[MNIST_TRAINING_ROWS:])
