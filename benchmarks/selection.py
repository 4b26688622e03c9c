"""Rules that decide between PCA and the trained network, compared on one set of fits.

A case is one fit of `Autoencoder` with default parameters, on a public data set or on rows drawn to
break the promise (see `benchmarks.hard_rows`). The held-out losses of PCA and of the best epoch,
and their ratio of test errors, are stored in build/selection. Each rule then decides from the
held-out losses, and is judged by the test errors. Another rule needs no new fits.

The sets and laws are reported in two halves. The note on its results page says how far the choice
of the rule is independent of either.
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any, TypeVar
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from sklearn.exceptions import ConvergenceWarning

from benchmarks import record
from benchmarks.datasets import PROJECT_ROOT, SCIKIT_LEARN_SETS, TABULAR_SETS, is_available, load
from benchmarks.hard_rows import CASES, draw
from benchmarks.pca import WORSE, prepare, ratio_to_pca
from benchmarks.runner import Benchmark, Case, Options, Run, threads_of_jobs
from benchmarks.tables import Content, Row, Table
from skae import Autoencoder
from skae.base import BaseAutoencoder
from skae.fitting.selection import Comparison, ValidationLoss, compare

Losses = NDArray[np.float64]
# Called with the held-out losses of the network and of PCA; returns whether to keep the network.
Rule = Callable[[Losses, Losses], bool]

STORE = PROJECT_ROOT / "build" / "selection"
IN_VAIN = 0.95  # PCA kept although the network has less than this share of its test error
LAW_SEEDS = 100  # added to the seeds of the laws, so that `benchmarks.hard_rows` has others
HEAVY_LAWS = ("contaminated", "heavy-tailed curve", "heavy-tailed mixture", "log-normal")
N_RESAMPLES = 1000


# -- rules --------------------------------------------------------------------------------------


def mean_ratio(network: Losses, pca: Losses) -> float:
    """Return the ratio of the mean losses; infinite if PCA has no loss."""
    return float(network.mean() / pca.mean()) if pca.mean() > 0 else math.inf


def standard_errors(change: Losses) -> float:
    """Return how many standard errors the mean lies below 0."""
    error = change.std(ddof=1) / math.sqrt(len(change)) if len(change) > 1 else 0.0
    return -float(change.mean()) / error if error else 0.0


def majority(network: Losses, pca: Losses) -> float:
    """Return the rows that improve minus those that get worse, in standard errors."""
    signs = np.sign(pca - network)
    return float(signs.sum()) / math.sqrt(max(1, np.count_nonzero(signs)))


def always(network: Losses, pca: Losses) -> bool:
    """Keep the network in every case."""
    return True


def of_the_mean(
    network: Losses, pca: Losses, *, least: float, majority_by: float = -math.inf
) -> bool:
    """Keep a network whose mean loss is lower by 1 %, and by so many standard errors."""
    is_lower = mean_ratio(network, pca) < 0.99 and standard_errors(network - pca) > least
    return is_lower and majority(network, pca) > majority_by


def three_errors_or_capped(network: Losses, pca: Losses, reference: float | None = None) -> bool:
    """Keep a network that passes the mean's test, or that of gains capped at the largest loss.

    The total gain must then outweigh twice PCA's largest loss. This was the rule of skae before.
    For `reference` see `skae.fitting.selection.compare`.
    """
    change = network - pca
    if not -change.mean() > 0.01 * (pca.mean() if reference is None else reference):
        return False
    if standard_errors(change) > 3.0:
        return True
    heaviest = pca.max() if reference is None else pca.max() - pca.min()
    capped = np.maximum(change, -max(0.0, float(change.max())))
    return bool(-change.sum() > 2.0 * heaviest and standard_errors(capped) > 3.0)


def signs(network: Losses, pca: Losses) -> bool:
    """Keep a network with a lower mean loss, on most rows by two standard errors."""
    return mean_ratio(network, pca) < 0.99 and majority(network, pca) > 2.0


def signed_ranks(network: Losses, pca: Losses) -> bool:
    """Keep a network with a lower mean loss, by Wilcoxon's signed-rank test at 2.5 %."""
    change = network - pca
    if not mean_ratio(network, pca) < 0.99:
        return False
    return bool(stats.wilcoxon(change, alternative="less").pvalue < 0.025)


def winsorised(network: Losses, pca: Losses) -> bool:
    """Keep a network with a lower mean loss, whose mean gain without 5 % tails is significant."""
    change = np.sort(network - pca)
    n_tail = len(change) // 20
    clipped = change.clip(change[n_tail], change[len(change) - 1 - n_tail])
    return mean_ratio(network, pca) < 0.99 and standard_errors(clipped) > 2.0


def bootstrap(network: Losses, pca: Losses) -> bool:
    """Keep a network whose ratio of mean losses is below 0.99 in 95 % of bootstrap samples."""
    drawn = np.random.default_rng(0).integers(len(pca), size=(N_RESAMPLES, len(pca)))
    return bool(np.mean(network[drawn].mean(1) < 0.99 * pca[drawn].mean(1)) > 0.95)


def of_the_ratio(
    network: Losses, pca: Losses, *, errors: float, least: float, n_adverse: float = 0.0
) -> bool:
    """Keep a network whose ratio is below 0.99 by so many standard errors, on most rows.

    `least` is the least majority, in standard errors. `n_adverse` rows are added, drawn in
    proportion to PCA's loss, on which the network loses what it gained there.
    """
    ratio = mean_ratio(network, pca)
    if not math.isfinite(ratio):
        return False
    residuals = network - ratio * pca
    error = math.sqrt(np.square(residuals).sum() / max(1, len(pca) - 1) / len(pca)) / pca.mean()
    adverse = n_adverse * float((pca * np.abs(network - pca)).sum() / pca.sum() ** 2)
    return ratio + errors * error + adverse < 0.99 and majority(network, pca) > least


def chosen(network: Losses, pca: Losses) -> bool:
    """Apply the rule of skae."""
    return compare(torch.from_numpy(network), torch.from_numpy(pca)).is_better


RULES: dict[str, tuple[str, Rule]] = {
    # Name: the codes, and the rule.
    "the network always": ("refined", always),
    "mean by 3 or capped gains, encoder's codes (the rule before)": (
        "encoder",
        three_errors_or_capped,
    ),
    "the same, refined codes": ("refined", three_errors_or_capped),
    "mean by 1": ("refined", partial(of_the_mean, least=1.0)),
    "mean by 2": ("refined", partial(of_the_mean, least=2.0)),
    "signs by 2": ("refined", signs),
    "signed ranks, 2.5 %": ("refined", signed_ranks),
    "winsorised mean by 2": ("refined", winsorised),
    "ratio in 95 % of bootstrap samples": ("refined", bootstrap),
    **{
        f"mean by {least:g}, majority by {majority:g}": (
            "refined",
            partial(of_the_mean, least=least, majority_by=majority),
        )
        for least, majority in [(1.0, 1.0), (1.0, 2.5), (1.5, 2.5), (2.0, 1.0), (2.5, 2.5)]
    },
    **{
        f"ratio by {errors:g}"
        + (f", majority by {least:g}" if math.isfinite(least) else "")
        + (f", {n_adverse:g} adverse rows" if n_adverse else ""): (
            "refined",
            partial(of_the_ratio, errors=errors, least=least, n_adverse=n_adverse),
        )
        for errors, least, n_adverse in [
            (0.0, -math.inf, 0.0),
            (1.0, -math.inf, 0.0),
            (3.0, -math.inf, 0.0),
            (0.0, 1.0, 0.0),
            (1.0, 1.0, 0.0),
            (1.0, 2.5, 0.0),
            (1.0, 1.0, 3.0),
            (1.0, 2.5, 3.0),
        ]
    },
    "chosen: mean by 2, majority by 2.5": ("refined", chosen),
}


# -- fits ---------------------------------------------------------------------------------------


def cases(options: Options) -> Iterator[Case]:
    """Yield public data sets at several numbers of rows and code sizes, and the laws."""
    for name in options.sets:
        if not is_available(name, options.data_dir):
            continue
        X = load(name, options.data_dir)[0]
        n_training = int(0.7 * min(len(X), options.max_rows))
        sizes = dict.fromkeys((max(1, X.shape[1] // 4), max(1, X.shape[1] // 2)))
        for rows in [rows for rows in options.rows if rows < n_training] + [n_training]:
            for k in sizes:
                for seed in options.seeds:
                    yield {"kind": "set", "name": name, "rows": rows, "k": k, "seed": seed}
    for law, rows in product(options.laws, options.rows):
        seeds = [seed + LAW_SEEDS for seed in options.seeds]
        if law in HEAVY_LAWS:
            seeds += [seed + LAW_SEEDS for seed in options.more_seeds]
        for seed in seeds:
            yield {"kind": "law", "name": law, "rows": rows, "k": 2, "seed": seed}


def data_of(options: Options, case: Case) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the training and test rows of a case."""
    if case["kind"] == "set":
        limited = argparse.Namespace(**{**vars(options), "training_rows": case["rows"]})
        return prepare(limited, case["name"], case["seed"])
    return draw(case["name"], case["rows"], case["seed"])


Estimator = TypeVar("Estimator", bound=BaseAutoencoder)


def fit_network(autoencoder: Estimator, train: NDArray[Any]) -> tuple[Estimator, dict[str, Any]]:
    """Fit, keep the network whatever the rule says, and return the held-out losses, too."""
    encoder: list[Losses] = []
    losses: dict[str, Any] = {}
    measure = ValidationLoss.__call__

    def both(validate: ValidationLoss, n_steps: int | None = None) -> torch.Tensor:
        if n_steps is not None:  # at the best epoch
            encoder.append(measure(validate).numpy())
        return measure(validate, n_steps)

    def accept(network: torch.Tensor, pca: torch.Tensor, reference: float | None) -> Comparison:
        losses.update(refined=network.numpy(), pca=pca.numpy(), reference=reference)
        return Comparison(0.0, (0.0, 0.0), 1.0, is_better=True)

    with (
        patch.object(ValidationLoss, "__call__", both),
        patch("skae.base.compare", accept),
    ):
        autoencoder.fit(train)
    if losses and encoder:
        losses["encoder"] = encoder[-1]
    return autoencoder, losses


def stored_fit(options: Options, case: Case) -> dict[str, Any]:
    """Return held-out losses and the test ratio of a fit, from the store or a new fit."""
    parts = [*case.values(), f"of_{options.max_rows}"]
    name = "-".join(str(part).replace(" ", "_") for part in parts)
    path = STORE / record.revision() / f"{name}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        train, test = data_of(options, case)
        autoencoder, losses = fit_network(Autoencoder(case["k"], random_state=case["seed"]), train)
        losses.pop("reference", None)
        np.savez(path, ratio=ratio_to_pca(autoencoder, train, test), **losses)
    with np.load(path) as file:
        return dict(file)


def measure(options: Options, **case: Any) -> list[Row]:
    """Let each rule decide; no row if there was nothing to decide.

    A row has a digit per rule: 1 keeps the network.
    """
    warnings.simplefilter("ignore", ConvergenceWarning)
    with threads_of_jobs(options):
        stored = stored_fit(options, case)
    if "pca" not in stored:
        return []
    decisions = [rule(stored[codes], stored["pca"]) for codes, rule in RULES.values()]
    network = "".join(str(int(decision)) for decision in decisions)
    return [{**case, "ratio": float(stored["ratio"]), "network": network}]


# -- report -------------------------------------------------------------------------------------


def figures(rows: Sequence[Row], keeps: Callable[[Row], bool]) -> dict[str, Any]:
    """Return what a rule would have got in these cases, given where it keeps the network."""
    ratios = np.array([row["ratio"] for row in rows])
    kept = np.array([keeps(row) for row in rows])
    result = np.where(kept, ratios, 1.0)
    return {
        "cases": len(rows),
        "worse": int((result > WORSE).sum()),
        "worst": float(result.max()),
        "in_vain": int((~kept & (ratios < IN_VAIN)).sum()),
        "kept_pca": int((~kept).sum()),
        "median": float(np.median(result)),
        "geometric_mean": float(np.exp(np.log(result.clip(1e-3)).mean())),
    }


def halves(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Divide the rows by name: every second set and law, on which a first rule was chosen."""
    every_second = {
        name
        for kind in ("set", "law")
        for name in sorted({row["name"] for row in rows if row["kind"] == kind})[::2]
    }
    return {
        "choice": [row for row in rows if row["name"] in every_second],
        "report": [row for row in rows if row["name"] not in every_second],
    }


def summarise(rows: list[Row], options: Options) -> list[dict[str, Any]]:
    """Return the figures of each rule, for each half and kind of data."""
    return [
        {
            "rule": rule,
            "half": half,
            "kind": kind,
            **figures(part, lambda row, number=number: row["network"][number] == "1"),
        }
        for half, of_half in halves(rows).items()
        for kind in ("set", "law")
        if (part := [row for row in of_half if row["kind"] == kind])
        for number, rule in enumerate(RULES)
    ]


def tables(content: Content) -> Iterator[str | Table]:
    """Yield a table for each half and kind of data."""
    titles = {"set": "Public data sets", "law": "Rows drawn to break the promise"}
    halves = {"choice": "one half", "report": "the other half"}
    for half, of_half in halves.items():
        for kind, title in titles.items():
            rows = [
                row for row in content["summary"] if row["half"] == half and row["kind"] == kind
            ]
            if rows:
                yield f"{title}, {of_half}: {rows[0]['cases']} fits."
                yield Table(
                    "rule | worse than PCA = worse | worst = worst:.3f | PCA kept in vain = in_vain"
                    " | PCA kept = kept_pca | geometric mean = geometric_mean:.3f",
                    rows,
                )


BENCHMARK = Benchmark(
    module="selection",
    description=__doc__,
    cases=cases,
    measure=measure,
    summarise=summarise,
    settings=lambda options: {
        "max_rows": options.max_rows,
        "rows": list(options.rows),
        "rules": list(RULES),
    },
    section=[
        "Which rule should decide between PCA and the trained network? Each fit is one of "
        "`Autoencoder` with default parameters, and each rule decides from its held-out losses. "
        "Worse: the error of new rows is above PCA's by more than 0.5 %. In vain: PCA is kept "
        "although the network has less than 0.95 of its error. The geometric mean is of the error "
        "relative to PCA's. Fits have 60, 200 and 700 training rows, and on the public sets all "
        "(at most 2,100), too. By 2: by two standard errors, of the mean change, of the ratio of "
        "the totals (delta method) or of the numbers of rows that improve and get worse. Adverse "
        "rows: added rows like those that carry PCA's loss, on which the network loses what it "
        "gained. Refined codes unless stated otherwise.",
        tables,
    ],
    runs=[
        Run(
            "selection",
            "The decision between PCA and the network",
            "--jobs 2",
            quick="--sets iris --laws curve log-normal --rows 60 --seeds 0 --more-seeds 100",
        )
    ],
    options={
        "--sets": (*SCIKIT_LEARN_SETS, *TABULAR_SETS),
        "--laws": tuple(CASES),
        "--max-rows": 3000,
        # More draws of the laws with heavy tails, where failures are rare and large.
        "--more-seeds": range(100, 120),
    },
    seeds=range(5),
    rows=(60, 200, 700),
    parallel=True,
)

if __name__ == "__main__":
    BENCHMARK.main()
