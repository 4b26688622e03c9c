"""Predictive sparse decomposition of patches of faces: codes, speed and dictionary."""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.decomposition import MiniBatchDictionaryLearning, sparse_encode
from sklearn.feature_extraction.image import extract_patches_2d

from benchmarks import record
from benchmarks.datasets import load
from benchmarks.timing import median_seconds
from skae import PredictiveSparseDecomposition

IMAGE = record.PICTURES / "dictionary.png"
PATCH = (12, 12)
_TEST_FACES = 80  # the last eight persons, whom no training sees
_TEST_ROWS = 3000
SETTINGS = {"n_components": 144, "alpha": 0.05, "max_iter": 50}
PUBLISHED_SPEED_UP = 100


def patches(faces: np.ndarray, n_rows: int, seed: int) -> np.ndarray:
    """Return patches of mean 0 and variance 1; flat ones are left out."""
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
    """Return half the squared error plus alpha times the l1 norm, over half the variance of X."""
    cost = 0.5 * np.square(X - code @ dictionary).sum() + alpha * np.abs(code).sum()
    return float(cost / (0.5 * np.square(X).sum()))


def dictionary_learning(
    X: np.ndarray, n_components: int, alpha: float, seconds: float, seed: int
) -> np.ndarray:
    """Let scikit-learn learn a dictionary for as long."""
    learner = MiniBatchDictionaryLearning(
        n_components, alpha=alpha, batch_size=256, random_state=seed
    )
    random, start = np.random.default_rng(seed), time.perf_counter()
    while time.perf_counter() - start < seconds:
        learner.partial_fit(X[random.choice(len(X), 256, replace=False)])
    return learner.components_


def draw(dictionaries: dict[str, np.ndarray]) -> None:
    """Save the atoms side by side, those of the largest share of the picture first."""
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
    IMAGE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(IMAGE, dpi=110)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data-dir")
    parser.add_argument("--name", default="psd")
    arguments = parser.parse_args()
    faces = load("olivetti", arguments.data_dir)[0].reshape(-1, 64, 64)
    X = patches(faces[:-_TEST_FACES], arguments.rows, arguments.seed)
    test = patches(faces[-_TEST_FACES:], _TEST_ROWS, arguments.seed)
    rows: list[dict[str, Any]] = []
    dictionaries = {}
    for hidden in ((), (512,)):
        model = PredictiveSparseDecomposition(
            hidden_layer_sizes=hidden, random_state=arguments.seed, **SETTINGS
        )
        start = time.perf_counter()
        model.fit(X)
        seconds = time.perf_counter() - start
        predicted, optimised = model.transform(test), model.sparse_code(test)
        centred = test - model.mean_
        name = f"PredictiveSparseDecomposition, hidden {hidden}"
        dictionaries[name] = model.components_
        rows.append(
            {
                "part": "codes",
                "method": name,
                "correlation": float(np.corrcoef(predicted.ravel(), optimised.ravel())[0, 1]),
                "zeros_predicted": float((predicted == 0).mean()),
                "zeros_optimised": float((optimised == 0).mean()),
                "r2_predicted": model.score(test),
                "fit_seconds": seconds,
            }
        )
        print(rows[-1], flush=True)
        medians = median_seconds(
            {
                "transform": lambda m=model: m.transform(test),
                **{
                    f"sparse_encode, {algorithm}": lambda a=algorithm, m=model, c=centred: (
                        sparse_encode(
                            c, m.components_, alpha=m.alpha_, algorithm=a, max_iter=10_000
                        )
                    )
                    for algorithm in ("lasso_cd", "lasso_lars")
                },
            },
            repeats=3,
        )
        rows += [
            {
                "part": "speed",
                "encoder": f"hidden {hidden}",
                "way": way,
                "rows_a_second": len(test) / median,
                "times_as_long_as_transform": median / medians["transform"],
            }
            for way, median in medians.items()
        ]
        print(record.table(rows[-3:]), flush=True)
        if not hidden:
            learned = dictionary_learning(
                X - model.mean_, len(model.components_), model.alpha_, seconds, arguments.seed
            )
            name = "MiniBatchDictionaryLearning"
            dictionaries[name] = learned
            for method, atoms in dictionaries.items():
                code = sparse_encode(
                    centred, atoms, alpha=model.alpha_, algorithm="lasso_cd", max_iter=10_000
                )
                cost = objective(centred, atoms, code, model.alpha_)
                rows.append(
                    {
                        "part": "dictionary",
                        "method": method,
                        "seconds": seconds,
                        "objective": cost,
                        "zeros": float((code == 0).mean()),
                        "atoms_used": int((code != 0).any(axis=0).sum()),
                    }
                )
                print(rows[-1], flush=True)
            draw(dictionaries)
    print(record.tables(rows))
    path = record.write(
        arguments.name,
        rows,
        {"published_speed_up": PUBLISHED_SPEED_UP},
        seeds=[arguments.seed],
        settings={**SETTINGS, "patch": PATCH, "training_rows": len(X), "test_rows": len(test)},
    )
    print(f"Written to {path.name}.")


if __name__ == "__main__":
    main()
