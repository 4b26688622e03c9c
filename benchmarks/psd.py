"""Predictive sparse decomposition of image patches: codes, speed and dictionary."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.decomposition import MiniBatchDictionaryLearning, sparse_encode
from sklearn.feature_extraction.image import extract_patches_2d

from benchmarks.datasets import load
from benchmarks.drawing import save
from benchmarks.runner import Benchmark, Options, Run
from benchmarks.tables import Row, Table
from benchmarks.timing import median_seconds, timed
from skae import PredictiveSparseDecomposition

PATCH = (12, 12)
_TEST_FACES = 80  # of the last eight persons
_TEST_ROWS = 3000
SETTINGS = {"n_components": 144, "alpha": 0.05, "max_iter": 50}
PUBLISHED_SPEED_UP = 100


def patches(faces: np.ndarray, n_rows: int, seed: int) -> np.ndarray:
    """Draw patches, drop those of low contrast, and standardise each."""
    random = np.random.RandomState(seed)
    n_each = -(-4 * n_rows // (3 * len(faces)))
    found = np.concatenate(
        [extract_patches_2d(face, PATCH, max_patches=n_each, random_state=random) for face in faces]
    ).reshape(-1, PATCH[0] * PATCH[1])
    found -= found.mean(axis=1, keepdims=True)
    deviations = found.std(axis=1, keepdims=True)
    varied = found[deviations[:, 0] > 0.02] / deviations[deviations[:, 0] > 0.02]
    return varied[random.permutation(len(varied))[:n_rows]]


def objective(X: np.ndarray, dictionary: np.ndarray, code: np.ndarray, alpha: float) -> float:
    """Return half the squared error plus alpha times the l1 norm, over half the squares of X."""
    cost = 0.5 * np.square(X - code @ dictionary).sum() + alpha * np.abs(code).sum()
    return float(cost / (0.5 * np.square(X).sum()))


def dictionary_learning(
    X: np.ndarray, n_components: int, alpha: float, seconds: float, seed: int
) -> np.ndarray:
    """Fit scikit-learn's dictionary for the given number of seconds."""
    learner = MiniBatchDictionaryLearning(
        n_components, alpha=alpha, batch_size=256, random_state=seed
    )
    random, start = np.random.default_rng(seed), time.perf_counter()
    while time.perf_counter() - start < seconds:
        learner.partial_fit(X[random.choice(len(X), 256, replace=False)])
    return learner.components_


def draw(dictionaries: dict[str, np.ndarray]) -> Figure:
    """Draw the atoms of each dictionary in a grid."""
    figure = Figure(figsize=(5 * len(dictionaries), 5.3))
    axes = figure.subplots(1, len(dictionaries))
    for axis, (title, atoms) in zip(axes, dictionaries.items(), strict=True):
        side = int(np.ceil(np.sqrt(len(atoms))))
        height, width = PATCH
        canvas = np.zeros((side * (height + 1) - 1, side * (width + 1) - 1))
        for i, atom in enumerate(atoms):
            top, left = (i // side) * (height + 1), (i % side) * (width + 1)
            canvas[top : top + height, left : left + width] = (
                atom.reshape(PATCH) / np.abs(atom).max()
            )
        axis.imshow(canvas, cmap="gray", vmin=-1, vmax=1)
        axis.set_title(title, fontsize=11)
        axis.axis("off")
    figure.tight_layout()
    return figure


@cache
def split(n_rows: int, seed: int, data_dir: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Return training and test patches, of different persons."""
    faces = load("olivetti", data_dir)[0].reshape(-1, 64, 64)
    train = patches(faces[:-_TEST_FACES], n_rows, seed)
    return train, patches(faces[-_TEST_FACES:], _TEST_ROWS, seed)


def lasso(
    X: np.ndarray, atoms: np.ndarray, alpha: float, algorithm: str = "lasso_cd"
) -> np.ndarray:
    """Return the sparse code by an iterative solver."""
    return sparse_encode(X, atoms, alpha=alpha, algorithm=algorithm, max_iter=10_000)


def measure(options: Options, hidden: tuple[int, ...]) -> Iterator[Row]:
    """Fit an encoder, and compare its code, speed and dictionary with those of scikit-learn."""
    X, test = split(options.rows, options.seed, options.data_dir)
    model = PredictiveSparseDecomposition(
        hidden_layer_sizes=hidden, random_state=options.seed, **SETTINGS
    )
    _, seconds = timed(model.fit, X)
    predicted, optimised = model.transform(test), model.sparse_code(test)
    name = f"PredictiveSparseDecomposition, hidden {hidden}"
    yield {
        "part": "codes",
        "method": name,
        "correlation": float(np.corrcoef(predicted.ravel(), optimised.ravel())[0, 1]),
        "zeros_predicted": float((predicted == 0).mean()),
        "zeros_optimised": float((optimised == 0).mean()),
        "r2_predicted": model.score(test),
        "fit_seconds": seconds,
    }
    yield from encoding_speed(model, test, f"hidden {hidden}")
    if not hidden:
        atoms = dictionary_learning(
            X - model.mean_, len(model.components_), model.alpha_, seconds, options.seed
        )
        dictionaries = {name: model.components_, "MiniBatchDictionaryLearning": atoms}
        yield from dictionary_scores(dictionaries, test - model.mean_, model.alpha_, seconds)
        save(draw(dictionaries), "dictionary")


def encoding_speed(
    model: PredictiveSparseDecomposition, X: np.ndarray, encoder: str
) -> Iterator[Row]:
    """Compare the speed of `transform` with that of iterative solvers on the same dictionary."""
    centred = X - model.mean_
    functions = {
        "transform": lambda: model.transform(X),
        **{
            f"sparse_encode, {algorithm}": lambda algorithm=algorithm: lasso(
                centred, model.components_, model.alpha_, algorithm
            )
            for algorithm in ("lasso_cd", "lasso_lars")
        },
    }
    medians = median_seconds(functions, repeats=3)
    for name, median in medians.items():
        yield {
            "part": "speed",
            "encoder": encoder,
            "way": name,
            "rows_a_second": len(X) / median,
            "times_as_long_as_transform": median / medians["transform"],
        }


def dictionary_scores(
    dictionaries: dict[str, np.ndarray], X: np.ndarray, alpha: float, seconds: float
) -> Iterator[Row]:
    """Evaluate dictionaries on test patches, with optimised codes."""
    for method, atoms in dictionaries.items():
        code = lasso(X, atoms, alpha)
        yield {
            "part": "dictionary",
            "method": method,
            "seconds": seconds,
            "objective": objective(X, atoms, code, alpha),
            "zeros": float((code == 0).mean()),
            "atoms_used": int((code != 0).any(axis=0).sum()),
        }


def settings(options: Options) -> dict[str, Any]:
    X, test = split(options.rows, options.seed, options.data_dir)
    return {**SETTINGS, "patch": PATCH, "training_rows": len(X), "test_rows": len(test)}


BENCHMARK = Benchmark(
    module="psd",
    description=__doc__,
    cases=lambda options: [{"hidden": ()}, {"hidden": (512,)}],
    measure=measure,
    summarise=lambda rows, options: {"published_speed_up": PUBLISHED_SPEED_UP},
    settings=settings,
    section=[
        "{settings[training_rows]} patches of {settings[patch][0]} x {settings[patch][1]} pixels "
        "of the faces of 32 persons (Olivetti), {settings[n_components]} atoms, alpha "
        "{settings[alpha]}; {settings[test_rows]} test patches of 8 other persons.",
        Table(
            "= method | correlation with the optimised code = correlation | "
            "zeros, predicted = zeros_predicted | zeros, optimised = zeros_optimised | "
            "R2 from the predicted code = r2_predicted | fit, s = fit_seconds",
            part="codes",
        ),
        Table(
            "= encoder | = way | rows_a_second | "
            "times as long as `transform` = times_as_long_as_transform",
            part="speed",
            caption="Speed of the encoder, published as over {summary[published_speed_up]} times "
            "that of optimisation.",
        ),
        Table(
            "= method | seconds | objective on test patches = objective | zeros | atoms_used",
            part="dictionary",
            caption="Dictionaries after equal training times, with optimised codes. The objective "
            "is half the squared error plus `alpha_` times the l1 norm, divided by half the "
            "squares of X.",
        ),
        "![Atoms of both dictionaries](../images/dictionary.png)",
    ],
    runs=[Run("psd", "Predictive sparse decomposition", quick="--rows 5000")],
    rows=20_000,
)

if __name__ == "__main__":
    BENCHMARK.main()
