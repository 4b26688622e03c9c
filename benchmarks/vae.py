"""Binarised MNIST: log-likelihood of the variational autoencoder against published figures.

Statically binarised (once, by a fixed seed), 784-400-40: `fit`. Stochastically binarised (anew in
each epoch), 784-200-200-50 tanh, after Burda, Grosse & Salakhutdinov (2016): `partial_fit` with a
learning rate that falls by a cosine. Test rows are binarised once. Where pythae is installed, its
VAE trains on the static rows too, with the same widths, batches and epochs.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import record
from benchmarks.datasets import MNIST_TRAINING_ROWS, load
from skae import VariationalAutoencoder

Array = NDArray[np.float32]
STATIC, STOCHASTIC = "static, 784-400-40", "stochastic, 784-200-200-50"
PUBLISHED = {STATIC: 89.9, STOCHASTIC: 86.76}
N_IMPORTANCE = 5000  # as Burda et al. take
# Rows and draws by which skae and pythae are compared.
FEW_ROWS, FEW_DRAWS = 500, 500
LEARNING_RATE = 2e-3
_ROWS_A_CHUNK = 500


def binarise(X: Array, seed: int) -> Array:
    """Draw each pixel with its grey value as the probability."""
    random = np.random.default_rng(seed)
    return (random.random(X.shape, dtype=np.float32) < X).astype(np.float32)


def static(X: Array, *, epochs: int, shortcut: str | None, seed: int) -> VariationalAutoencoder:
    """Fit to rows that were binarised once."""
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
    """Fit to rows that are binarised anew in each epoch; beta may rise over a share of them."""
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
    """Train and score pythae's VAE on the same rows."""
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
    # It takes one row after another, so few of them.
    rows = torch.from_numpy(test[:FEW_ROWS]).reshape(-1, 1, 28, 28)
    with torch.no_grad():
        nll = -float(trainer.model.cpu().get_nll(rows, n_samples=FEW_DRAWS, batch_size=FEW_DRAWS))
    return {"nll_few": nll, "seconds": seconds}


def describe(model: VariationalAutoencoder, test: Array) -> dict[str, Any]:
    """Bounds on the test rows, and units in use."""
    chunks = [test[i : i + _ROWS_A_CHUNK] for i in range(0, len(test), _ROWS_A_CHUNK)]
    weighted = [model.score_samples(chunk, n_importance=N_IMPORTANCE) for chunk in chunks]
    few = model.score_samples(test[:FEW_ROWS], n_importance=FEW_DRAWS)
    return {
        "nll": -float(np.concatenate(weighted).mean(dtype=np.float64)),
        "nll_few": -float(few.mean(dtype=np.float64)),
        "negative_elbo": -float(model.elbo(test).mean(dtype=np.float64)),
        "active_units": len(model.active_units_),
        "epochs": model.n_iter_,
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--static-epochs", type=int, default=60)
    parser.add_argument("--stochastic-epochs", type=int, default=100)
    parser.add_argument("--only", nargs="+", help="methods, such as classical pythae")
    parser.add_argument("--rows", type=int, default=MNIST_TRAINING_ROWS)
    parser.add_argument("--test-rows", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data-dir")
    parser.add_argument("--name", default="vae")
    arguments = parser.parse_args()

    X, _ = load("mnist", arguments.data_dir)
    seed = arguments.seed
    test = binarise(X[MNIST_TRAINING_ROWS:][: arguments.test_rows], seed + 1)
    X = X[: arguments.rows]
    few, many = arguments.static_epochs, arguments.stochastic_epochs
    runs: list[tuple[str, str, Callable[[], VariationalAutoencoder]]] = [
        (STATIC, "anchored", lambda: static(X, epochs=few, shortcut="pca", seed=seed)),
        (STATIC, "classical", lambda: static(X, epochs=few, shortcut=None, seed=seed)),
        (STOCHASTIC, "anchored", lambda: stochastic(X, epochs=many, shortcut="pca", seed=seed)),
        (STOCHASTIC, "classical", lambda: stochastic(X, epochs=many, shortcut=None, seed=seed)),
        (
            STOCHASTIC,
            "classical, warm-up",
            lambda: stochastic(X, epochs=many, shortcut=None, seed=seed, warm_up=0.2),
        ),
    ]
    if arguments.only:
        runs = [run for run in runs if run[0] == STATIC and run[1] in arguments.only]
    rows = []
    for part, method, run in runs:
        start = time.perf_counter()
        model = run()
        seconds = time.perf_counter() - start
        row = {"part": part, "method": method, **describe(model, test), "seconds": seconds}
        rows.append({**row, "published": PUBLISHED[part]})
        print(rows[-1], flush=True)
    if importlib.util.find_spec("pythae") is not None:
        other = pythae_static(X, test, epochs=few, seed=seed)
        row = {"part": STATIC, "method": "pythae", "epochs": few, **other}
        rows.append({**row, "published": PUBLISHED[STATIC]})
        print(rows[-1], flush=True)
    else:
        print("pythae is not installed: left out. Its row needs `pip install pythae`.")
    columns = ["part", "method", "nll", "published", "nll_few", "negative_elbo", "active_units"]
    print(record.table(rows, [*columns, "epochs", "seconds"]))
    path = record.write(
        arguments.name,
        rows,
        {f"{row['part']}, {row['method']}": row.get("nll", row["nll_few"]) for row in rows},
        seeds=[seed],
        settings={
            "training_rows": len(X),
            "test_rows": len(test),
            "n_importance": N_IMPORTANCE,
            "few_rows": FEW_ROWS,
            "few_draws": FEW_DRAWS,
            "learning_rate_stochastic": LEARNING_RATE,
            "published": PUBLISHED,
        },
    )
    print(f"Written to {path.name}.")


if __name__ == "__main__":
    main()
