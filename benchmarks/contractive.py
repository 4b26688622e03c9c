"""MNIST, one layer of 1000 tied logistic units: plain, denoising and contractive autoencoder.

After Rifai et al. (2011): mean norm of the encoder's Jacobian, share of saturated units, and the
test error of a classifier that starts from the encoder and is fine-tuned on all labels.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks import record
from benchmarks.datasets import MNIST_TRAINING_ROWS, load
from skae import Autoencoder, ContractiveAutoencoder, DenoisingAutoencoder
from skae._base import BaseAutoencoder

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
METHODS: dict[str, tuple[type[BaseAutoencoder], dict[str, object]]] = {
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
_SATURATED = 0.05
_N_LEADING = 100
_BATCH = 128


def describe(model: BaseAutoencoder, X: np.ndarray) -> dict[str, float]:
    """Jacobian and saturation at rows X, from the code h of one logistic layer."""
    weight = model._model.network.encoder.layers[0].weight.detach().numpy() / model._model.scale
    h = model.transform(X)
    slopes = h * (1 - h)
    squares = np.square(slopes) @ np.square(weight).sum(axis=0)
    spectra = np.stack(
        [np.linalg.svd(weight * row, compute_uv=False) for row in slopes[:_N_LEADING]]
    )
    share = np.cumsum(np.square(spectra), axis=1) / np.square(spectra).sum(axis=1, keepdims=True)
    return {
        "jacobian_norm": float(np.sqrt(squares).mean()),
        "saturated": float(((h < _SATURATED) | (h > 1 - _SATURATED)).mean()),
        "values_for_90_percent": float((share < 0.9).sum(axis=1).mean() + 1),
        "largest_over_50th": float((spectra[:, 0] / spectra[:, 49]).mean()),
    }


def fine_tuned_error(
    weight: torch.Tensor,
    bias: torch.Tensor,
    train: tuple[torch.Tensor, torch.Tensor],
    test: tuple[torch.Tensor, torch.Tensor],
    *,
    epochs: int,
    seed: int,
) -> float:
    """Test error in percent of 784-1000-10, its first layer given, after fine-tuning."""
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


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=12, help="of the autoencoders")
    parser.add_argument("--fine-tuning", type=int, default=20, help="epochs of the classifier")
    parser.add_argument("--rows", type=int, default=MNIST_TRAINING_ROWS)
    parser.add_argument("--alpha", type=float, help="of the contractive one")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--data-dir")
    parser.add_argument("--name", default="contractive")
    arguments = parser.parse_args()

    methods = {name: METHODS[name] for name in arguments.methods}
    if arguments.alpha is not None:
        methods["contractive"] = (ContractiveAutoencoder, {"alpha": arguments.alpha})
    X, y = load("mnist", arguments.data_dir)
    test_X, test_y = X[MNIST_TRAINING_ROWS:], torch.from_numpy(y[MNIST_TRAINING_ROWS:])
    X, y = X[: arguments.rows], y[: arguments.rows]
    rows = []
    for name in [*methods, "random weights"]:
        errors, row = [], {"method": name, "published_error": PUBLISHED.get(name)}
        for seed in arguments.seeds:
            if name == "random weights":
                noise = torch.randn(
                    X.shape[1], N_UNITS, generator=torch.Generator().manual_seed(seed)
                )
                weight, bias = noise / X.shape[1] ** 0.5, torch.zeros(N_UNITS)
                mean, scale = X.mean(0), X.std()
            else:
                cls, own = methods[name]
                start = time.perf_counter()
                model = cls(
                    N_UNITS, max_iter=arguments.epochs, random_state=seed, **SHARED, **own
                ).fit(X)
                if seed == arguments.seeds[0]:
                    row |= {"seconds": time.perf_counter() - start, **describe(model, test_X)}
                layer = model._model.network.encoder.layers[0]
                weight, bias = layer.weight.detach(), layer.bias.detach()
                mean, scale = model.mean_, model._model.scale
            z, z_test = (
                torch.from_numpy(((part - mean) / scale).astype(np.float32)) for part in (X, test_X)
            )
            errors.append(
                fine_tuned_error(
                    weight,
                    bias,
                    (z, torch.from_numpy(y)),
                    (z_test, test_y),
                    epochs=arguments.fine_tuning,
                    seed=seed,
                )
            )
        row |= {"test_error": float(np.mean(errors)), "each_seed": errors}
        rows.append(row)
        print(row, flush=True)
    columns = [
        "method",
        "jacobian_norm",
        "saturated",
        "values_for_90_percent",
        "test_error",
        "published_error",
        "seconds",
    ]
    print(record.table(rows, columns))
    path = record.write(
        arguments.name,
        rows,
        {row["method"]: row["test_error"] for row in rows},
        seeds=arguments.seeds,
        settings={
            **SHARED,
            "n_components": N_UNITS,
            "epochs": arguments.epochs,
            "fine_tuning_epochs": arguments.fine_tuning,
            "training_rows": len(X),
            "own": {name: own for name, (_, own) in methods.items()},
        },
    )
    print(f"Written to {path.name}.")


if __name__ == "__main__":
    main()
