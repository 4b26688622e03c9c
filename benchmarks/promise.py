"""The promise of methods beside `Autoencoder`: not worse than PCA at their own objective.

- `DenoisingAutoencoder`: squared error of test rows reconstructed from corrupted copies, relative
  to that of PCA, which gets the same copies.
- `VariationalAutoencoder`: log-likelihood of test rows (importance sampling), against that of
  probabilistic PCA. The ratio is 1 minus the gain in units of half a nat per column: about the
  share of the squared error.
- `ConvolutionalAutoencoder`: squared error of test images relative to PCA.

Each fit has default parameters. As in `benchmarks.selection`, the network of the best epoch is kept
in any case, and rules decide from its held-out losses.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from benchmarks.datasets import is_available, load
from benchmarks.hard_rows import CASES
from benchmarks.runner import Benchmark, Case, Options, Run, several, threads_of_jobs
from benchmarks.selection import (
    LAW_SEEDS,
    data_of,
    figures,
    fit_network,
    three_errors_or_capped,
)
from benchmarks.tables import Row, Table
from skae import ConvolutionalAutoencoder, DenoisingAutoencoder, VariationalAutoencoder
from skae.base import BaseAutoencoder
from skae.fitting.selection import compare

# Sets whose PCA leaves a noise variance above 0, without which there is no likelihood.
SETS = (
    *("breast_cancer", "diabetes", "digits", "iris", "wine"),
    *("adult", "letter", "magic", "satimage", "texture", "waveform_40"),
)
IMAGE_SETS = ("digits", "usps", "mnist", "fashion_mnist")
METHODS: dict[str, type[BaseAutoencoder]] = {
    "DenoisingAutoencoder": DenoisingAutoencoder,
    "VariationalAutoencoder": VariationalAutoencoder,
    "ConvolutionalAutoencoder": ConvolutionalAutoencoder,
}
MASKED = 0.25  # the default of `DenoisingAutoencoder`
MAX_TEST_ROWS = 1000
RULES = {"always": "always", "earlier": "by the rule before", "chosen": "by the rule"}


def cases(options: Options) -> Iterator[Case]:
    """Yield the public sets of each method, and the laws of those that take tables."""
    for method in options.methods:
        images = method == "ConvolutionalAutoencoder"
        for name in IMAGE_SETS if images else SETS:
            if not is_available(name, options.data_dir):
                continue
            n_features = load(name, options.data_dir)[0].shape[1]
            k = 16 if images else max(1, n_features // 4)
            for rows in options.rows:
                for seed in options.seeds:
                    case = {"kind": "set", "name": name, "rows": rows, "k": k, "seed": seed}
                    yield {"method": method, **case}
        for law in () if images else CASES:
            for rows in options.rows:
                for seed in options.seeds:
                    case = {"kind": "law", "name": law, "rows": rows, "k": 2}
                    yield {"method": method, **case, "seed": seed + LAW_SEEDS}


def images_of(options: Options, case: Case) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return training and test images, not standardised."""
    X = load(case["name"], options.data_dir)[0].astype(np.float32)
    order = np.random.default_rng(case["seed"]).permutation(len(X))
    train, test = order[: case["rows"]], order[case["rows"] :]
    return X[train], X[test[:MAX_TEST_ROWS]]


def test_ratio(autoencoder: BaseAutoencoder, train: NDArray[Any], test: NDArray[Any]) -> float:
    """Return the objective on test rows, relative to PCA's."""
    pca = PCA(autoencoder.n_components_, svd_solver="full").fit(train)
    if isinstance(autoencoder, VariationalAutoencoder):
        gain = autoencoder.score_samples(test, n_importance=50) - pca.score_samples(test)
        return 1.0 - float(gain.mean()) / (0.5 * train.shape[1])
    inputs = test
    if isinstance(autoencoder, DenoisingAutoencoder):
        is_masked = np.random.default_rng(0).random(test.shape) < MASKED
        inputs = np.where(is_masked, train.mean(axis=0), test)
    errors = [
        np.square(test - model.inverse_transform(model.transform(inputs))).sum()
        for model in (autoencoder, pca)
    ]
    return float(errors[0] / errors[1])


def measure(options: Options, **case: Any) -> list[Row]:
    """Fit, and let the rules decide."""
    warnings.simplefilter("ignore")
    parameters: dict[str, Any] = {}
    if case["method"] == "ConvolutionalAutoencoder":
        train, test = images_of(options, case)
        side = round(train.shape[1] ** 0.5)
        parameters["image_shape"] = (side, side)
    else:
        train, test = data_of(options, case)
    test = test[:MAX_TEST_ROWS]
    autoencoder = METHODS[case["method"]](case["k"], random_state=case["seed"], **parameters)
    with threads_of_jobs(options):
        autoencoder, losses = fit_network(autoencoder, train)
        if not losses:
            return []
        ratio = test_ratio(autoencoder, train, test)
    network, pca, reference = losses["refined"], losses["pca"], losses["reference"]
    earlier = all(
        three_errors_or_capped(after, before, reference)
        for after, before in zip(np.atleast_2d(network), np.atleast_2d(pca), strict=True)
    )
    chosen = compare(torch.from_numpy(network), torch.from_numpy(pca), reference).is_better
    return [{**case, "ratio": ratio, "always": True, "earlier": earlier, "chosen": chosen}]


def summarise(rows: list[Row], options: Options) -> list[dict[str, Any]]:
    """Return what each rule would have got, for each method and kind of data."""
    summary = []
    for method in options.methods:
        for kind in ("set", "law"):
            part = [row for row in rows if row["method"] == method and row["kind"] == kind]
            for rule in RULES if part else ():
                found = figures(part, lambda row, rule=rule: row[rule])
                summary.append({"method": method, "kind": kind, "rule": rule, **found})
    return summary


BENCHMARK = Benchmark(
    module="promise",
    description=__doc__,
    cases=cases,
    measure=measure,
    summarise=summarise,
    settings=lambda options: {"max_rows": options.max_rows, "rows": list(options.rows)},
    section=[
        "The same decision in methods whose objective is not the plain squared error of "
        "`Autoencoder`. `DenoisingAutoencoder`: error on test rows of which a quarter of the "
        "entries are masked, relative to that of PCA on the same rows. `VariationalAutoencoder`: "
        "log-likelihood of test rows against that of probabilistic PCA; the ratio is 1 minus the "
        "gain in units of half a nat per column, and it may be negative. "
        "`ConvolutionalAutoencoder`: error of test images. Worse: a ratio above 1.005. In vain: "
        "PCA is kept although the network has a ratio below 0.95.",
        lambda content: Table(
            [
                "method",
                ("rows", lambda row: {"set": "public sets", "law": "laws"}[row["kind"]]),
                ("network kept", lambda row: RULES[row["rule"]]),
                "fits = cases | worse than PCA = worse | worst = worst:.3f | "
                "PCA kept in vain = in_vain | PCA kept = kept_pca | median ratio = median:.3f",
            ],
            content["summary"],
        ),
    ],
    runs=[
        Run(
            "promise",
            "The decision in other methods",
            "--jobs 2",
            quick="--methods DenoisingAutoencoder --rows 60 --seeds 0",
        )
    ],
    options={"--methods": several(METHODS), "--max-rows": 3000},
    seeds=range(2),
    rows=(60, 200, 700),
    parallel=True,
)

if __name__ == "__main__":
    BENCHMARK.main()
