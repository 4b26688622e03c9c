"""One layer of 1000 tied logistic units on MNIST: plain, denoising and contractive autoencoders.

The protocol is that of Rifai et al. (2011): the mean norm of the encoder's Jacobian, the share of
saturated units, and the test error of a classifier initialised with the encoder and fine-tuned on
all labels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.datasets import MNIST_TRAINING_ROWS, load_mnist
from benchmarks.runner import Benchmark, Options, Run, several
from benchmarks.tables import Row, Table
from benchmarks.timing import timed
from skae import Autoencoder, ContractiveAutoencoder, DenoisingAutoencoder

N_UNITS = 1000
SHARED = {
    "hidden_layer_sizes": (),
    "code_activation": "logistic",
    "loss": "log_loss",
    "shortcut": None,
    "tied_weights": True,
    "weight_decay": 0.0,
    "batch_size": 128,
    "early_stopping": False,
}
METHODS: dict[str, tuple[Any, dict[str, object]]] = {
    "contractive": (ContractiveAutoencoder, {"alpha": 1e-5}),
    "denoising, masking": (DenoisingAutoencoder, {"noise_level": 0.25}),
    "denoising, gaussian": (DenoisingAutoencoder, {"noise": "gaussian", "noise_level": 0.3}),
    "plain": (Autoencoder, {}),
}
PUBLISHED = {
    "contractive": 1.14,
    "denoising, gaussian": 1.18,
    "denoising, masking": 1.57,
    "plain": 1.78,
}
_SATURATED = 0.05  # distance of the activation from 0 or 1
_N_SPECTRA = 100  # number of rows
_BATCH = 128
Tensors = tuple[torch.Tensor, torch.Tensor]


def jacobian_scores(model: Any, X: np.ndarray) -> dict[str, float]:
    """Return scores of the encoder's Jacobian and of saturation, means over rows."""
    weight = model._model.network.encoder.layers[0].weight.detach().numpy() / model._model.scale
    h = model.transform(X)
    slopes = h * (1 - h)
    squares = np.square(slopes) @ np.square(weight).sum(axis=0)
    spectra = np.stack(
        [np.linalg.svd(weight * row, compute_uv=False) for row in slopes[:_N_SPECTRA]]
    )
    share = np.cumsum(np.square(spectra), axis=1) / np.square(spectra).sum(axis=1, keepdims=True)
    return {
        "jacobian_norm": float(np.sqrt(squares).mean()),
        "saturated": float(((h < _SATURATED) | (h > 1 - _SATURATED)).mean()),
        "values_for_90_percent": float((share < 0.9).sum(axis=1).mean() + 1),
        "largest_over_50th": float((spectra[:, 0] / spectra[:, 49]).mean()),
    }


def fine_tuned_error(
    layer: Tensors, train: Tensors, test: Tensors, *, epochs: int, seed: int
) -> float:
    """Fine-tune 784-1000-10 from the first layer; return the test error in percent."""
    weight, bias = layer
    generator = torch.Generator().manual_seed(seed)
    parameters = [
        weight.clone().requires_grad_(),
        bias.clone().requires_grad_(),
        torch.zeros(weight.shape[1], 10, requires_grad=True),
        torch.zeros(10, requires_grad=True),
    ]

    def logits(x: torch.Tensor) -> torch.Tensor:
        hidden = torch.sigmoid(torch.addmm(parameters[1], x, parameters[0]))
        return torch.addmm(parameters[3], hidden, parameters[2])

    optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=True)
    n_steps = epochs * (len(train[0]) // _BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    for _ in range(epochs):
        order = torch.randperm(len(train[0]), generator=generator)
        for rows in order[: len(order) // _BATCH * _BATCH].split(_BATCH):
            optimizer.zero_grad()
            F.cross_entropy(logits(train[0][rows]), train[1][rows]).backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        return 100 * float((logits(test[0]).argmax(1) != test[1]).float().mean())


def random_layer(X: np.ndarray, seed: int) -> Tensors:
    """Return random weights and zero biases."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(X.shape[1], N_UNITS, generator=generator) / X.shape[1] ** 0.5
    return weight, torch.zeros(N_UNITS)


def methods(options: Options) -> dict[str, tuple[Any, dict[str, object]]]:
    """Return the selected methods and their parameters."""
    selected = {name: METHODS[name] for name in options.methods}
    if options.alpha is not None:
        selected["contractive"] = (ContractiveAutoencoder, {"alpha": options.alpha})
    return selected


def measure(options: Options, method: str) -> Row:
    """Pre-train with each seed, describe the encoder of the first one, and fine-tune."""
    (X, y), (test, test_y) = load_mnist(options.rows, options.data_dir)
    errors: list[float] = []
    row: dict[str, object] = {"published_error": PUBLISHED.get(method)}
    for seed in options.seeds:
        if method == "random weights":
            layer, mean, scale = random_layer(X, seed), X.mean(0), X.std()
        else:
            cls, parameters = methods(options)[method]
            model = cls(N_UNITS, max_iter=options.epochs, random_state=seed, **SHARED, **parameters)
            _, seconds = timed(model.fit, X)
            if seed == options.seeds[0]:
                row |= {"seconds": seconds, **jacobian_scores(model, test)}
            linear = model._model.network.encoder.layers[0]
            layer = (linear.weight.detach(), linear.bias.detach())
            mean, scale = model.mean_, model._model.scale
        z, test_z = (
            torch.from_numpy(((part - mean) / scale).astype(np.float32)) for part in (X, test)
        )
        error = fine_tuned_error(
            layer,
            (z, torch.from_numpy(y)),
            (test_z, torch.from_numpy(test_y)),
            epochs=options.fine_tuning,
            seed=seed,
        )
        errors.append(error)
    return {**row, "test_error": float(np.mean(errors)), "each_seed": errors}


BENCHMARK = Benchmark(
    module="contractive",
    description=__doc__,
    cases=lambda options: [{"method": name} for name in [*methods(options), "random weights"]],
    measure=measure,
    summarise=lambda rows, options: {row["method"]: row["test_error"] for row in rows},
    settings=lambda options: {
        **SHARED,
        "n_components": N_UNITS,
        "epochs": options.epochs,
        "fine_tuning_epochs": options.fine_tuning,
        "training_rows": options.rows,
        "own": {name: parameters for name, (_, parameters) in methods(options).items()},
    },
    section=[
        "MNIST, one layer of 1000 tied logistic units, after Rifai et al. (2011). On test images: "
        "the mean Frobenius norm of the encoder's Jacobian, the share of units within 0.05 of 0 or "
        "1, and the number of singular values with 90 % of the squared norm. The test error is of "
        "784-1000-10, fine-tuned from that layer. There are {settings[epochs]} epochs of "
        "pre-training and {settings[fine_tuning_epochs]} of fine-tuning, many fewer than "
        "published, so compare the order of the methods.",
        Table(
            "encoder = method | mean norm of the Jacobian = jacobian_norm | "
            "saturated units = saturated | "
            "singular values for 90 % = values_for_90_percent | "
            "test error, % = test_error | published = published_error | seconds"
        ),
    ],
    runs=[
        Run(
            "contractive",
            "Contractive autoencoders",
            quick="--rows 5000 --epochs 2 --fine-tuning 5",
        )
    ],
    options={"--epochs": 12, "--fine-tuning": 20, "--alpha": float, "--methods": several(METHODS)},
    seeds=(0,),
    rows=MNIST_TRAINING_ROWS,
)

if __name__ == "__main__":
    BENCHMARK.main()
