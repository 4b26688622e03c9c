"""Generation of digits: samples, interpolations and a grid over a code of two numbers.

The table has the scores of `skae.metrics` on held-out rows for the codes of several methods, and
the log-likelihood of these rows where the method defines one. Writes docs/images/generation.png.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split

from benchmarks.datasets import load
from benchmarks.drawing import save
from benchmarks.runner import Benchmark, Options, Run
from benchmarks.tables import Row, Table
from skae import Autoencoder, ContractiveAutoencoder, VariationalAutoencoder
from skae.metrics import interpolation_score, prior_match_score, separability_score

N_COMPONENTS = 8
N_TEST = 500
_SIDE = 8
_COLUMNS, _ROWS = 10, 6
_GRID = 12


def tile(images: NDArray[np.floating], n_columns: int) -> NDArray[np.floating]:
    """Arrange images of 8 x 8 pixels in a grid, with a gap of one pixel."""
    framed = np.pad(images.reshape(-1, _SIDE, _SIDE), ((0, 0), (0, 1), (0, 1)))
    rows = framed.reshape(-1, n_columns, _SIDE + 1, _SIDE + 1).transpose(0, 2, 1, 3)
    return rows.reshape(-1, n_columns * (_SIDE + 1))[:-1, :-1]


def draw(
    X: NDArray[np.floating],
    y: NDArray[np.integer],
    plain: Autoencoder,
    model: VariationalAutoencoder,
    plane: VariationalAutoencoder,
    seed: int,
) -> Figure:
    """Draw samples of both models, interpolations, and a grid over the code of `plane`."""
    n = _COLUMNS * _ROWS
    paths = []
    for i in range(_ROWS):
        a, b = X[y == i][seed], X[y == i + 4][seed]
        paths.append(model.interpolate(a, b, steps=_COLUMNS, path="spherical"))
    ticks = norm.ppf((np.arange(_GRID) + 0.5) / _GRID)
    codes = np.stack(np.meshgrid(ticks, ticks[::-1]), axis=-1).reshape(-1, 2)
    mixture = plain.sample(n, X=X, random_state=seed)
    panels = {
        "samples: VariationalAutoencoder(8)": tile(
            model.sample(n, return_mean=True, random_state=seed), _COLUMNS
        ),
        "samples: Autoencoder(8), a mixture on its code": tile(mixture, _COLUMNS),
        "spherical interpolation": tile(np.concatenate(paths), _COLUMNS),
        "VariationalAutoencoder(2): grid over the code": tile(
            plane.inverse_transform(codes), _GRID
        ),
    }
    shares = {"width_ratios": [1.0, 1.0, 1.0, 0.62]}
    figure = Figure(figsize=(14, 3.0), layout="constrained")
    axes = figure.subplots(1, 4, gridspec_kw=shares)
    for axis, (title, picture) in zip(axes, panels.items(), strict=True):
        axis.imshow(picture, cmap="gray_r", vmin=0, vmax=16, interpolation="nearest")
        axis.set_title(title, fontsize=9)
        axis.set_axis_off()
    return figure


METHODS: dict[str, Any] = {
    "PCA": PCA(N_COMPONENTS),
    "Autoencoder": Autoencoder(N_COMPONENTS),
    "ContractiveAutoencoder": ContractiveAutoencoder(N_COMPONENTS),
    "VariationalAutoencoder": VariationalAutoencoder(N_COMPONENTS),
    "VariationalAutoencoder, beta=4": VariationalAutoencoder(N_COMPONENTS, beta=4.0),
}


def digits(seed: int, data_dir: str | None) -> list[Any]:
    """Return training and test rows, and their labels."""
    X, y = load("digits", data_dir)
    return train_test_split(X, y, test_size=N_TEST, stratify=y, random_state=seed)


@cache
def fitted(method: str, seed: int, data_dir: str | None) -> Any:
    """Return a method fitted to the training rows."""
    estimator = clone(METHODS[method])
    if method != "PCA":
        estimator.set_params(random_state=seed)
    return estimator.fit(digits(seed, data_dir)[0])


def measure(options: Options, method: str) -> Row:
    """Score the code of a method on the test rows."""
    _, X, _, y = digits(options.seed, options.data_dir)
    estimator = fitted(method, options.seed, options.data_dir)
    has_density = isinstance(estimator, PCA | VariationalAutoencoder)
    reconstruction = estimator.inverse_transform(estimator.transform(X))
    return {
        "log_likelihood": estimator.score(X) if has_density else None,
        "variance_explained": r2_score(X, reconstruction, multioutput="variance_weighted"),
        # The code of a method without a prior has an arbitrary scale.
        "prior_match": prior_match_score(
            estimator, X, standardise=not hasattr(estimator, "encode_distribution")
        ),
        "interpolation": interpolation_score(estimator, X),
        "separability": separability_score(estimator, X, y),
    }


def summarise(rows: list[Row], options: Options) -> dict[str, float | None]:
    """Draw the figure, and return the log-likelihoods."""
    seed = options.seed
    X, _, y, _ = digits(seed, options.data_dir)
    plain, model = (
        fitted(method, seed, options.data_dir)
        for method in ("Autoencoder", "VariationalAutoencoder")
    )
    plane = VariationalAutoencoder(2, max_iter=200, random_state=seed).fit(X)
    save(draw(X, y, plain, model, plane, seed), "generation")
    return {row["method"]: row["log_likelihood"] for row in rows}


BENCHMARK = Benchmark(
    module="generation",
    description=__doc__,
    cases=lambda options: [{"method": name} for name in METHODS],
    measure=measure,
    summarise=summarise,
    settings=lambda options: {
        "n_components": N_COMPONENTS,
        "training_rows": len(digits(options.seed, options.data_dir)[0]),
        "test_rows": N_TEST,
    },
    section=[
        "Digits, codes of {settings[n_components]} numbers, {settings[test_rows]} held-out rows, "
        "scores of `skae.metrics`. The prior match of a code without a prior compares the shapes "
        "of the distributions only.",
        Table(
            "= method | log_likelihood | variance_explained | prior_match | "
            "interpolation | separability"
        ),
        "![Digits generated from the codes of several methods](../images/generation.png)",
    ],
    runs=[Run("generation", "Generation and interpolation", quick="")],
)

if __name__ == "__main__":
    BENCHMARK.main()
