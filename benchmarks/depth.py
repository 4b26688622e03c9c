"""Depth on MNIST: all layers together or layer by layer, at equal seconds; codes of each layer.

First, 784-500-250-30: each way of training gets the same number of seconds (what a short trial run
says about an epoch sets the number of epochs). Test error is squared error summed over pixels; the
probe is a logistic regression on the code.

Then a hard variant, digits rotated by any angle on a background of noise, as Larochelle et al.
(2007) made it: a linear SVM on pixels and on the outputs of the first, second and third layer of a
stacked denoising autoencoder (after Vincent et al. 2010).
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import rotate
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from benchmarks import record
from benchmarks.datasets import MNIST_TRAINING_ROWS, load
from skae import Autoencoder, StackedAutoencoder
from skae._base import BaseAutoencoder
from skae._core.layerwise import layer_output, shallow_networks

Array = NDArray[np.float32]
SIZES = {"n_components": 30, "hidden_layer_sizes": (500, 250)}
CLASSICAL = {**SIZES, "activation": "relu", "early_stopping": False, "batch_size": 256}
WAYS: dict[str, tuple[type[BaseAutoencoder], dict[str, Any]]] = {
    "together": (Autoencoder, {**CLASSICAL, "shortcut": None, "weight_decay": 0.3}),
    "together, anchored": (Autoencoder, {**CLASSICAL, "weight_decay": 0.3}),
    "layer by layer": (StackedAutoencoder, {**CLASSICAL, "fine_tune": False}),
    "layer by layer, fine-tuned": (StackedAutoencoder, {**CLASSICAL, "weight_decay": 0.3}),
    "RBM, fine-tuned": (
        StackedAutoencoder,
        {**CLASSICAL, "activation": "logistic", "pretraining": "rbm", "weight_decay": 0.0},
    ),
}
_TRIAL_EPOCHS = 2
_LEAST_SHARE = 0.1
_PRETRAINING_SHARE = 0.3
_PROBE_ROWS = 10_000
_BRIGHTNESS = 0.5


def train_for(way: str, X: Array, seconds: float, seed: int) -> BaseAutoencoder:
    """Fit with as many epochs as fit into the seconds."""
    cls, settings = WAYS[way]

    def make(max_iter: int, pretraining_iter: int) -> BaseAutoencoder:
        own = {"pretraining_iter": pretraining_iter} if cls is StackedAutoencoder else {}
        return cls(max_iter=max_iter, random_state=seed, **own, **settings)

    def seconds_of(max_iter: int, pretraining_iter: int) -> float:
        start = time.perf_counter()
        make(max_iter, pretraining_iter).fit(X)
        return time.perf_counter() - start

    seconds_of(1, 1)  # the first run of all is slow
    base = seconds_of(1, 1)

    def of_one(longer: float) -> float:
        """Seconds of one more epoch, not taken for next to nothing on a busy machine."""
        return max(_LEAST_SHARE * base, (longer - base) / _TRIAL_EPOCHS)

    an_epoch = of_one(seconds_of(1 + _TRIAL_EPOCHS, 1))
    if cls is Autoencoder:
        return make(max(1, round(1 + (seconds - base) / an_epoch)), 0).fit(X)
    a_phase_epoch = of_one(seconds_of(1, 1 + _TRIAL_EPOCHS))
    if not settings.get("fine_tune", True):
        return make(1, max(1, round(1 + (seconds - base) / a_phase_epoch))).fit(X)
    phases = max(1, round(_PRETRAINING_SHARE * seconds / a_phase_epoch))
    left = seconds - base - (phases - 1) * a_phase_epoch
    return make(max(1, round(1 + left / an_epoch)), phases).fit(X)


def joint_or_layerwise(
    X: Array,
    y: NDArray[np.int64],
    test: Array,
    test_y: NDArray[np.int64],
    seconds: float,
    seed: int,
) -> list[dict[str, Any]]:
    """One row a way of training."""
    rows = []
    for way in WAYS:
        start = time.perf_counter()
        model = train_for(way, X, seconds, seed)
        with_trials = time.perf_counter() - start
        code, test_code = model.transform(X[:_PROBE_ROWS]), model.transform(test)
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        rows.append(
            {
                "part": "ways",
                "way": way,
                "test_error": float(model.reconstruction_error(test).mean()),
                "train_error": float(model.reconstruction_error(X[:_PROBE_ROWS]).mean()),
                "probe_accuracy": float(probe.fit(code, y[:_PROBE_ROWS]).score(test_code, test_y)),
                "epochs": model.n_iter_,
                "phase_epochs": len(next(iter(model.phases_[0].values())))
                if isinstance(model, StackedAutoencoder)
                else None,
                "seconds_with_trials": with_trials,
            }
        )
        print(rows[-1], flush=True)
    return rows


def rotated_on_noise(images: Array, seed: int) -> Array:
    """Turn each digit by a random angle and lay it over uniform noise of half its brightness."""
    rng = np.random.default_rng(seed)
    turned = [
        rotate(image.reshape(28, 28), angle, reshape=False, order=1).ravel()
        for image, angle in zip(images, rng.uniform(0, 360, len(images)), strict=True)
    ]
    noise = _BRIGHTNESS * rng.random(images.shape)
    return np.maximum(np.clip(turned, 0, 1), noise).astype(np.float32)


def layers_under_svm(
    X: Array, y: NDArray[np.int64], test: Array, test_y: NDArray[np.int64], epochs: int, seed: int
) -> list[dict[str, Any]]:
    """Test error of a linear SVM on pixels and on each layer's output."""
    model = StackedAutoencoder(
        1000,
        hidden_layer_sizes=(1000, 1000),
        activation="logistic",
        code_activation="logistic",
        loss="log_loss",
        tied_weights=True,
        pretraining="denoising",
        noise_level=0.25,
        pretraining_iter=epochs,
        fine_tune=False,
        early_stopping=False,
        batch_size=100,
        random_state=seed,
    ).fit(X)
    parts = [("pixels", X, test)]
    inputs = [
        torch.from_numpy(((part - model.mean_) / model._model.scale).astype(np.float32))
        for part in (X, test)
    ]
    for i, network in enumerate(shallow_networks(model._model.network), start=1):
        inputs = [layer_output(network.float(), part) for part in inputs]
        parts.append((f"layer {i}", *(part.numpy() for part in inputs)))
    rows = []
    for name, features, test_features in parts:
        svm = make_pipeline(StandardScaler(), LinearSVC(C=0.003, random_state=seed))
        accuracy = svm.fit(features, y).score(test_features, test_y)
        rows.append({"part": "layers", "features": name, "svm_error": 100 * (1 - accuracy)})
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="a way of training")
    parser.add_argument("--only", choices=["ways", "layers"], help="one of the two parts")
    parser.add_argument("--epochs", type=int, default=12, help="a phase, hard variant")
    parser.add_argument("--rows", type=int, default=MNIST_TRAINING_ROWS)
    parser.add_argument("--hard-rows", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data-dir")
    parser.add_argument("--name", default="depth")
    arguments = parser.parse_args()

    X, y = load("mnist", arguments.data_dir)
    test, test_y = X[MNIST_TRAINING_ROWS:], y[MNIST_TRAINING_ROWS:]
    X, y = X[: arguments.rows], y[: arguments.rows]
    rows, n_hard = [], arguments.hard_rows
    if arguments.only != "layers":
        rows += joint_or_layerwise(X, y, test, test_y, arguments.seconds, arguments.seed)
    if arguments.only != "ways":
        rows += layers_under_svm(
            rotated_on_noise(X[:n_hard], arguments.seed),
            y[:n_hard],
            rotated_on_noise(test, arguments.seed + 1),
            test_y,
            arguments.epochs,
            arguments.seed,
        )
    print(record.tables(rows))
    path = record.write(
        arguments.name,
        rows,
        {
            **{row["way"]: row["test_error"] for row in rows if row["part"] == "ways"},
            **{row["features"]: row["svm_error"] for row in rows if row["part"] == "layers"},
        },
        seeds=[arguments.seed],
        settings={
            "seconds": arguments.seconds,
            "training_rows": len(X),
            "hard_rows": n_hard,
            "hard_epochs": arguments.epochs,
            "pretraining_share": _PRETRAINING_SHARE,
        },
    )
    print(f"Written to {path.name}.")


if __name__ == "__main__":
    main()
