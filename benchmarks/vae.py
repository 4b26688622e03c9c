"""Log-likelihood of variational autoencoders on binarised MNIST.

Static binarisation (once, with a fixed seed), 784-400-40: `fit`. Stochastic binarisation (again in
each epoch), 784-200-200-50 with tanh, after Burda, Grosse & Salakhutdinov (2016): `partial_fit`
with a cosine learning-rate schedule. The test rows are binarised once. If pythae is installed, its
VAE is trained on the static rows with the same widths, batches and epochs.
"""

from __future__ import annotations

import importlib.util
import math
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.datasets import MNIST_TRAINING_ROWS, load_mnist
from benchmarks.runner import Benchmark, Case, Options, Run
from benchmarks.tables import Row, Table
from benchmarks.timing import timed
from skae import VariationalAutoencoder

Array = NDArray[np.float32]
STATIC, STOCHASTIC = "static, 784-400-40", "stochastic, 784-200-200-50"
PUBLISHED = {STATIC: 89.9, STOCHASTIC: 86.76}
N_IMPORTANCE = 5000  # as in Burda et al.
# Rows and importance samples of the comparison with pythae.
FEW_ROWS, FEW_DRAWS = 500, 500
LEARNING_RATE = 2e-3
_CHUNK = 500  # rows
# Parameters of `static` and `stochastic`, by method.
METHODS: dict[str, dict[str, Any]] = {
    "anchored": {"shortcut": "pca"},
    "classical": {"shortcut": None},
    "classical, warm-up": {"shortcut": None, "warm_up": 0.2},
}


def binarise(X: Array, seed: int) -> Array:
    """Draw each pixel from a Bernoulli distribution with its grey value as the probability."""
    random = np.random.default_rng(seed)
    return (random.random(X.shape, dtype=np.float32) < X).astype(np.float32)


def static(X: Array, *, epochs: int, shortcut: str | None, seed: int) -> VariationalAutoencoder:
    """Fit to rows that are binarised once."""
    return VariationalAutoencoder(
        40,
        hidden_layer_sizes=(400,),
        likelihood="bernoulli",
        shortcut=shortcut,
        batch_size=200,
        weight_decay=0.5,
        max_iter=epochs,
        random_state=seed,
    ).fit(binarise(X, seed))


def stochastic(
    X: Array, *, epochs: int, shortcut: str | None, seed: int, warm_up: float = 0.0
) -> VariationalAutoencoder:
    """Fit to rows that are binarised in each epoch; beta rises over the share `warm_up` of them."""
    model = VariationalAutoencoder(
        50,
        hidden_layer_sizes=(200, 200),
        activation="tanh",
        likelihood="bernoulli",
        shortcut=shortcut,
        batch_size=100,
        weight_decay=0.0,
        max_iter=epochs,
        random_state=seed,
    )
    for epoch in range(epochs):
        rate = LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * epoch / epochs))
        beta = min(1.0, (epoch + 1) / (warm_up * epochs)) if warm_up else 1.0
        model.set_params(learning_rate_init=rate, beta=beta).partial_fit(binarise(X, 1000 + epoch))
    return model


def pythae_static(X: Array, test: Array, *, epochs: int, seed: int) -> dict[str, Any]:
    """Train and evaluate the VAE of pythae on the same rows."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from torch import nn

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = nn.Sequential(nn.Linear(784, 400), nn.GELU())
            self.mean, self.log_variance = nn.Linear(400, 40), nn.Linear(400, 40)

        def forward(self, x: torch.Tensor) -> ModelOutput:
            h = self.hidden(x.reshape(len(x), -1))
            return ModelOutput(embedding=self.mean(h), log_covariance=self.log_variance(h))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(
                nn.Linear(40, 400), nn.GELU(), nn.Linear(400, 784), nn.Sigmoid()
            )

        def forward(self, z: torch.Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.layers(z).reshape(-1, 1, 28, 28))

    torch.manual_seed(seed)
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=40, reconstruction_loss="bce")
    model = VAE(config, Encoder(), Decoder())
    images = torch.from_numpy(binarise(X, seed)).reshape(-1, 1, 28, 28)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        trainer = BaseTrainer(
            model=model,
            train_dataset=BaseDataset(images, torch.zeros(len(images))),
            training_config=BaseTrainerConfig(
                output_dir=folder,
                num_epochs=epochs,
                per_device_train_batch_size=200,
                learning_rate=1e-3,
                scheduler_cls="CosineAnnealingLR",
                scheduler_params={"T_max": epochs},
                no_cuda=True,
                seed=seed,
            ),
        )
        trainer.train()
        seconds = time.perf_counter() - start
    # pythae evaluates one row at a time, so use few.
    rows = torch.from_numpy(test[:FEW_ROWS]).reshape(-1, 1, 28, 28)
    with torch.no_grad():
        nll = -float(trainer.model.cpu().get_nll(rows, n_samples=FEW_DRAWS, batch_size=FEW_DRAWS))
    return {"nll_few": nll, "seconds": seconds}


def evaluate(model: VariationalAutoencoder, test: Array) -> dict[str, Any]:
    """Return bounds on the log-likelihood of the test rows, and the number of active units."""
    chunks = [test[i : i + _CHUNK] for i in range(0, len(test), _CHUNK)]
    weighted = [model.score_samples(chunk, n_importance=N_IMPORTANCE) for chunk in chunks]
    few = model.score_samples(test[:FEW_ROWS], n_importance=FEW_DRAWS)
    return {
        "nll": -float(np.concatenate(weighted).mean(dtype=np.float64)),
        "nll_few": -float(few.mean(dtype=np.float64)),
        "negative_elbo": -float(model.elbo(test).mean(dtype=np.float64)),
        "active_units": len(model.active_units_),
        "epochs": model.n_iter_,
    }


@cache
def images(n_training: int, n_test: int, data_dir: str | None, seed: int) -> tuple[Array, Array]:
    """Return the training rows, and the binarised test rows."""
    (X, _), (test, _) = load_mnist(n_training, data_dir)
    return X, binarise(test[:n_test], seed)


def cases(options: Options) -> Iterator[Case]:
    """Yield the methods; ``--only`` selects among those with static binarisation."""
    for part, method in product((STATIC, STOCHASTIC), METHODS):
        if part == STATIC and method == "classical, warm-up":
            continue
        if not options.only or (part == STATIC and method in options.only):
            yield {"part": part, "method": method}
    yield {"part": STATIC, "method": "pythae"}


def measure(options: Options, part: str, method: str) -> Row | list[Row]:
    """Train and evaluate a method."""
    X, test = images(options.rows, options.test_rows, options.data_dir, options.seed + 1)
    published = {"published": PUBLISHED[part]}
    if method == "pythae":
        if importlib.util.find_spec("pythae") is None:
            print("pythae is not installed: its row is left out.")
            return []
        epochs = options.static_epochs
        scores = pythae_static(X, test, epochs=epochs, seed=options.seed)
        return {"epochs": epochs, **scores, **published}
    train, epochs = {
        STATIC: (static, options.static_epochs),
        STOCHASTIC: (stochastic, options.stochastic_epochs),
    }[part]
    model, seconds = timed(train, X, epochs=epochs, seed=options.seed, **METHODS[method])
    return {**evaluate(model, test), "seconds": seconds, **published}


def summarise(rows: list[Row], options: Options) -> dict[str, float]:
    return {f"{row['part']}, {row['method']}": row.get("nll", row["nll_few"]) for row in rows}


def settings(options: Options) -> dict[str, Any]:
    return {
        "training_rows": options.rows,
        "test_rows": options.test_rows,
        "n_importance": N_IMPORTANCE,
        "few_rows": FEW_ROWS,
        "few_draws": FEW_DRAWS,
        "learning_rate_stochastic": LEARNING_RATE,
        "published": PUBLISHED,
    }


BENCHMARK = Benchmark(
    module="vae",
    description=__doc__,
    cases=cases,
    measure=measure,
    summarise=summarise,
    settings=settings,
    section=[
        "Binarised MNIST, {settings[training_rows]} training rows. The negative log-likelihood is "
        "in nats per row, over {settings[test_rows]} test rows with {settings[n_importance]} "
        "importance samples; the comparison with pythae is over the first 500 rows with 500 "
        "samples. Published along with 86.76: 19 of 50 active units, after 3280 epochs.",
        Table(
            "= part | = method | negative log-likelihood = nll | published | "
            "on 500 rows = nll_few | negative ELBO = negative_elbo | active_units | "
            "epochs | seconds"
        ),
    ],
    runs=[
        Run(
            "vae",
            "Variational autoencoders",
            "--static-epochs 80",
            quick="--rows 5000 --static-epochs 3 --stochastic-epochs 3 --test-rows 200",
        ),
        Run(
            "vae_pythae",
            "Variational autoencoders, compared with pythae",
            "--only classical pythae --static-epochs 25 --test-rows 1000",
            in_suite=False,
        ),
    ],
    options={
        "--static-epochs": 60,
        "--stochastic-epochs": 100,
        "--only": {"nargs": "+", "help": "methods, for instance: classical pythae"},
        "--test-rows": 10_000,
    },
    rows=MNIST_TRAINING_ROWS,
)

if __name__ == "__main__":
    BENCHMARK.main()
