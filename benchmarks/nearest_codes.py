"""Ablation: the length of training, and a decoder trained at the nearest codes.

`transform` returns nearest codes, while training uses those of the encoder. Here, a fit is followed
by ten rounds of training of the decoder alone: the nearest codes of the training rows are found,
then the decoder is trained at these codes for two epochs (AdamW; the learning rate falls linearly
from 0.002 to 0 over all rounds). Data, code sizes and errors are those of `benchmarks.frontier`.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from statistics import geometric_mean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from benchmarks.datasets import is_available
from benchmarks.frontier import CODE_SIZES
from benchmarks.pca import prepare, ratio_to_pca
from benchmarks.runner import Benchmark, Case, Options, Run, threads_of_jobs
from benchmarks.tables import Row, Table
from skae import Autoencoder
from skae.core.canonical import set_preconditioner

N_ROUNDS, EPOCHS_PER_ROUND, LEARNING_RATE = 10, 2, 2e-3
LENGTHS: tuple[int | str, ...] = (50, "auto")


def cases(options: Options) -> Iterator[Case]:
    """Yield each data set."""
    for name in options.sets:
        if is_available(name, options.data_dir):
            yield {"set": name, "k": CODE_SIZES[name]}


def train_decoder(autoencoder: Autoencoder, X: NDArray[np.float64]) -> None:
    """Train the decoder of a fitted autoencoder at the nearest codes of the rows."""
    model = autoencoder._model
    network = model.network.float()
    model._networks.clear()
    z = model.standardise(torch.from_numpy(X)).float()
    parameters = list(network.decoder.parameters())
    optimizer = torch.optim.AdamW(parameters, betas=(0.9, 0.99), eps=1e-12, weight_decay=0.0)
    batches = max(1, round(len(z) / min(512, max(16, len(z) // 25))))
    generator = torch.Generator().manual_seed(0)
    n_steps = N_ROUNDS * EPOCHS_PER_ROUND * batches
    rates = iter(np.linspace(LEARNING_RATE, 0.0, n_steps, endpoint=False).tolist())
    for _ in range(N_ROUNDS):
        with torch.no_grad():
            codes = model.encode(z, autoencoder.transform_max_iter)
        for _ in range(EPOCHS_PER_ROUND):
            for rows in torch.randperm(len(z), generator=generator).tensor_split(batches):
                optimizer.param_groups[0]["lr"] = next(rates)
                optimizer.zero_grad()
                (network.decode(codes[rows]) - z[rows]).square().mean().backward()
                optimizer.step()
    with torch.no_grad():
        codes = model.encode(z, autoencoder.transform_max_iter).double()
        network.double()
        set_preconditioner(model, codes, z[:1].double())
    model._networks.clear()


def measure(options: Options, **case: Any) -> Row:
    """Return mean errors relative to PCA and CPU seconds, before and after the rounds."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    results: dict[str, list[float]] = {}
    with threads_of_jobs(options):
        for seed in options.seeds:
            train, test = prepare(options, case["set"], seed)
            for length in LENGTHS:
                autoencoder = Autoencoder(case["k"], max_iter=length, random_state=seed)
                start = time.process_time()
                autoencoder.fit(train)
                for after in ("", " + decoder"):
                    if after:
                        train_decoder(autoencoder, train)
                    seconds = time.process_time() - start
                    ratio = ratio_to_pca(autoencoder, train, test)
                    results.setdefault(f"{length}{after}", []).append(ratio)
                    results.setdefault(f"{length}{after}, s", []).append(seconds)
                    start = time.process_time() - seconds  # leave out the time of the test
    return {name: float(np.mean(values)) for name, values in results.items()}


def summarise(rows: Sequence[Row], options: Options) -> list[dict[str, Any]]:
    """Return geometric mean and seconds of each variant over all sets."""
    summary = []
    for length in LENGTHS:
        for variant in (f"{length}", f"{length} + decoder"):
            ratio = geometric_mean(row[variant] for row in rows)
            seconds = float(np.sum([row[f"{variant}, s"] for row in rows]))
            summary.append({"variant": variant, "ratio": ratio, "seconds": seconds})
    return summary


BENCHMARK = Benchmark(
    module="nearest_codes",
    description=__doc__,
    cases=cases,
    measure=measure,
    summarise=summarise,
    settings=lambda options: {"max_rows": options.max_rows},
    section=[
        'Test error relative to PCA after 50 epochs and after the default (`max_iter="auto"`), and '
        "after each of them with a decoder trained at the nearest codes for twenty epochs more. "
        "Over all sets, geometric mean and CPU seconds:",
        lambda content: Table("variant | error = ratio:.3f | seconds:.1f", content["summary"]),
        "For each set:",
        Table("data = set | 50:.3f | 50 + decoder:.3f | auto:.3f | auto + decoder:.3f"),
    ],
    runs=[
        Run(
            "nearest_codes",
            "Ablation: length of training, decoder at nearest codes",
            "--jobs 2",
            quick="--sets digits --seeds 0 --max-rows 300",
        )
    ],
    options={
        "--sets": tuple(CODE_SIZES),
        "--max-rows": 3000,
        "--training-rows": int,
    },
    seeds=(0, 1),
    parallel=True,
)

if __name__ == "__main__":
    BENCHMARK.main()
