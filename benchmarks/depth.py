"""Deep autoencoders on MNIST: joint and layer-wise training, and the codes of the layers.

The part "ways" trains 784-500-250-30 for the same number of seconds with each method; short trial
fits determine the number of epochs. The test error is the squared error summed over pixels, and the
probe is a logistic regression on the code.

The part "layers" uses rotated digits on a background of noise, after Larochelle et al. (2007). A
linear SVM is fitted to the pixels and to the output of each layer of a stacked denoising
autoencoder, after Vincent et al. (2010).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import rotate
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from benchmarks.datasets import MNIST_TRAINING_ROWS, load_mnist
from benchmarks.runner import Benchmark, Options, Run
from benchmarks.tables import Row, Table
from benchmarks.timing import timed
from skae import Autoencoder, StackedAutoencoder
from skae.core.layerwise import layer_output, shallow_networks

Array = NDArray[np.float32]
SIZES = {"n_components": 30, "hidden_layer_sizes": (500, 250)}
CLASSICAL = {**SIZES, "activation": "relu", "early_stopping": False, "batch_size": 256}
Model = Autoencoder | StackedAutoencoder
METHODS: dict[str, tuple[type[Model], dict[str, Any]]] = {
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
_MIN_SHARE = 0.1  # least time of an epoch, relative to the shortest fit
_PRETRAINING_SHARE = 0.3
_PROBE_ROWS = 10_000
_NOISE_LEVEL = 0.5


def train_for(method: str, X: Array, seconds: float, seed: int) -> Model:
    """Fit for about the given number of seconds."""
    cls, settings = METHODS[method]

    def make(max_iter: int, pretraining_iter: int) -> Model:
        own = {"pretraining_iter": pretraining_iter} if cls is StackedAutoencoder else {}
        return cls(max_iter=max_iter, random_state=seed, **own, **settings)

    def seconds_of(max_iter: int, pretraining_iter: int) -> float:
        return timed(make(max_iter, pretraining_iter).fit, X)[1]

    seconds_of(1, 1)  # warm up
    base = seconds_of(1, 1)

    def of_one(longer: float) -> float:
        """Return the seconds of an epoch, bounded from below against noise."""
        return max(_MIN_SHARE * base, (longer - base) / _TRIAL_EPOCHS)

    an_epoch = of_one(seconds_of(1 + _TRIAL_EPOCHS, 1))
    if cls is Autoencoder:
        return make(max(1, round(1 + (seconds - base) / an_epoch)), 0).fit(X)
    a_phase_epoch = of_one(seconds_of(1, 1 + _TRIAL_EPOCHS))
    if not settings.get("fine_tune", True):
        return make(1, max(1, round(1 + (seconds - base) / a_phase_epoch))).fit(X)
    phases = max(1, round(_PRETRAINING_SHARE * seconds / a_phase_epoch))
    left = seconds - base - (phases - 1) * a_phase_epoch
    return make(max(1, round(1 + left / an_epoch)), phases).fit(X)


def joint_or_layerwise(options: Options) -> Iterator[Row]:
    """Train with each method for the same number of seconds."""
    (X, y), (test, test_y) = load_mnist(options.rows, options.data_dir)
    for method in METHODS:
        model, seconds_with_trials = timed(train_for, method, X, options.seconds, options.seed)
        code, test_code = model.transform(X[:_PROBE_ROWS]), model.transform(test)
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        phase_epochs = None
        if isinstance(model, StackedAutoencoder):
            phase_epochs = len(next(iter(model.phases_[0].values())))
        yield {
            "part": "ways",
            "way": method,
            "test_error": float(model.reconstruction_error(test).mean()),
            "train_error": float(model.reconstruction_error(X[:_PROBE_ROWS]).mean()),
            "probe_accuracy": float(probe.fit(code, y[:_PROBE_ROWS]).score(test_code, test_y)),
            "epochs": model.n_iter_,
            "phase_epochs": phase_epochs,
            "seconds_with_trials": seconds_with_trials,
        }


def rotated_on_noise(images: Array, seed: int) -> Array:
    """Rotate each digit by a random angle, on a background of uniform noise."""
    rng = np.random.default_rng(seed)
    rotated = [
        rotate(image.reshape(28, 28), angle, reshape=False, order=1).ravel()
        for image, angle in zip(images, rng.uniform(0, 360, len(images)), strict=True)
    ]
    noise = _NOISE_LEVEL * rng.random(images.shape)
    return np.maximum(np.clip(rotated, 0, 1), noise).astype(np.float32)


def layers_under_svm(options: Options) -> Iterator[Row]:
    """Fit a linear SVM to the pixels and to the output of each layer."""
    (X, y), (test, test_y) = load_mnist(options.rows, options.data_dir)
    X, y = rotated_on_noise(X[: options.hard_rows], options.seed), y[: options.hard_rows]
    test = rotated_on_noise(test, options.seed + 1)
    model = StackedAutoencoder(
        1000,
        hidden_layer_sizes=(1000, 1000),
        activation="logistic",
        code_activation="logistic",
        loss="log_loss",
        tied_weights=True,
        pretraining="denoising",
        noise_level=0.25,
        pretraining_iter=options.epochs,
        fine_tune=False,
        early_stopping=False,
        batch_size=100,
        random_state=options.seed,
    ).fit(X)
    features = [("pixels", X, test)]
    outputs = [
        torch.from_numpy(((part - model.mean_) / model._model.scale).astype(np.float32))
        for part in (X, test)
    ]
    for i, network in enumerate(shallow_networks(model._model.network.with_model_axis()), start=1):
        outputs = [layer_output(network.float(), part) for part in outputs]
        features.append((f"layer {i}", *(part.numpy() for part in outputs)))
    for name, train_features, test_features in features:
        svm = make_pipeline(StandardScaler(), LinearSVC(C=0.003, random_state=options.seed))
        accuracy = svm.fit(train_features, y).score(test_features, test_y)
        yield {"part": "layers", "features": name, "svm_error": 100 * (1 - accuracy)}


def summarise(rows: list[Row], options: Options) -> dict[str, float]:
    return {
        **{row["way"]: row["test_error"] for row in rows if row["part"] == "ways"},
        **{row["features"]: row["svm_error"] for row in rows if row["part"] == "layers"},
    }


PARTS = {"ways": joint_or_layerwise, "layers": layers_under_svm}
BENCHMARK = Benchmark(
    module="depth",
    description=__doc__,
    cases=lambda options: [{"part": part} for part in PARTS if options.only in (None, part)],
    measure=lambda options, part: PARTS[part](options),
    summarise=summarise,
    settings=lambda options: {
        "seconds": options.seconds,
        "training_rows": options.rows,
        "hard_rows": options.hard_rows,
        "hard_epochs": options.epochs,
        "pretraining_share": _PRETRAINING_SHARE,
    },
    section=[
        Table(
            "= way | test_error | training error = train_error | probe = probe_accuracy | "
            "epochs a phase = phase_epochs | epochs of the whole = epochs",
            part="ways",
            caption="MNIST, {settings[training_rows]} training rows, 784-500-250-30, about "
            "{settings[seconds]:.0f} seconds per method. The error is the squared error summed "
            "over pixels; the probe is a logistic regression on the code.",
        ),
        Table(
            "= features | test error, % = svm_error",
            part="layers",
            caption="Rotated digits on a background of noise, {settings[hard_rows]} training rows: "
            "a linear SVM on the pixels and on each layer of a stacked denoising autoencoder, with "
            "1000 units per layer and {settings[hard_epochs]} epochs per phase.",
        ),
    ],
    runs=[
        Run(
            "depth",
            "Joint and layer-wise training",
            "--only ways --seconds 30 --rows 30000",
            quick="--rows 5000 --seconds 5",
        ),
        Run("depth_layers", "Layers of a stacked autoencoder", "--only layers"),
    ],
    options={
        "--only": {"choices": PARTS},
        "--seconds": 60.0,
        "--epochs": 12,
        "--hard-rows": 10_000,
    },
    rows=MNIST_TRAINING_ROWS,
)

if __name__ == "__main__":
    BENCHMARK.main()
