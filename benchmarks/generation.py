"""Drawing digits: samples, a way between two digits, the map of a code of two numbers.

A table says what the code of each method is like on held-out rows, by the scores of `skae.metrics`,
and how likely those rows are where the method has a density. Writes docs/images/generation.png.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.decomposition import PCA
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split

from benchmarks import record
from benchmarks.datasets import load
from skae import Autoencoder, ContractiveAutoencoder, VariationalAutoencoder
from skae.metrics import interpolation_score, prior_match_score, separability_score

PICTURE = record.PICTURES / "generation.png"
N_COMPONENTS = 8
_SIDE = 8
_COLUMNS, _ROWS = 10, 6
_GRID = 12


def tiled(images: NDArray[np.floating], n_columns: int) -> NDArray[np.floating]:
    """Lay images of 8 by 8 pixels out in rows, one blank pixel between them."""
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
) -> None:
    """Draw four panels."""
    n = _COLUMNS * _ROWS
    ways = []
    for i in range(_ROWS):
        a, b = X[y == i][seed], X[y == i + 4][seed]
        ways.append(model.interpolate(a, b, steps=_COLUMNS, path="spherical"))
    ticks = norm.ppf((np.arange(_GRID) + 0.5) / _GRID)
    codes = np.stack(np.meshgrid(ticks, ticks[::-1]), axis=-1).reshape(-1, 2)
    mixture = plain.sample(n, X=X, random_state=seed)
    panels = {
        "drawn: VariationalAutoencoder(8)": tiled(
            model.sample(n, return_mean=True, random_state=seed), _COLUMNS
        ),
        "drawn: Autoencoder(8), a mixture on its code": tiled(mixture, _COLUMNS),
        "from digit to digit (spherical)": tiled(np.concatenate(ways), _COLUMNS),
        "VariationalAutoencoder(2): its code": tiled(plane.inverse_transform(codes), _GRID),
    }
    shares = {"width_ratios": [1.0, 1.0, 1.0, 0.62]}
    figure = Figure(figsize=(14, 3.0), layout="constrained")
    axes = figure.subplots(1, 4, gridspec_kw=shares)
    for axis, (title, picture) in zip(axes, panels.items(), strict=True):
        axis.imshow(picture, cmap="gray_r", vmin=0, vmax=16, interpolation="nearest")
        axis.set_title(title, fontsize=9)
        axis.set_axis_off()
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=110)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data-dir")
    parser.add_argument("--name", default="generation")
    arguments = parser.parse_args()
    seed = arguments.seed
    X, y = load("digits", arguments.data_dir)
    X, test_X, y, test_y = train_test_split(X, y, test_size=500, stratify=y, random_state=seed)
    plain = Autoencoder(N_COMPONENTS, random_state=seed)
    model = VariationalAutoencoder(N_COMPONENTS, random_state=seed)
    methods: dict[str, Any] = {
        "PCA": PCA(N_COMPONENTS),
        "Autoencoder": plain,
        "ContractiveAutoencoder": ContractiveAutoencoder(N_COMPONENTS, random_state=seed),
        "VariationalAutoencoder": model,
        "VariationalAutoencoder, beta=4": VariationalAutoencoder(
            N_COMPONENTS, beta=4.0, random_state=seed
        ),
    }
    rows = []
    for name, estimator in methods.items():
        estimator.fit(X)
        has_density = isinstance(estimator, PCA | VariationalAutoencoder)
        restored = estimator.inverse_transform(estimator.transform(test_X))
        rows.append(
            {
                "method": name,
                "log_likelihood": estimator.score(test_X) if has_density else None,
                "variance_explained": r2_score(test_X, restored, multioutput="variance_weighted"),
                # Codes in the units of X are compared by shape alone.
                "prior_match": prior_match_score(
                    estimator, test_X, standardise=not hasattr(estimator, "encode_distribution")
                ),
                "interpolation": interpolation_score(estimator, test_X),
                "separability": separability_score(estimator, test_X, test_y),
            }
        )
    print(record.table(rows))
    plane = VariationalAutoencoder(2, max_iter=200, random_state=seed).fit(X)
    draw(X, y, plain, model, plane, seed)
    path = record.write(
        arguments.name,
        rows,
        {row["method"]: row["log_likelihood"] for row in rows},
        seeds=[seed],
        settings={"n_components": N_COMPONENTS, "training_rows": len(X), "test_rows": len(test_X)},
    )
    print(f"Written to {path.name} and {PICTURE.name}.")


if __name__ == "__main__":
    main()
