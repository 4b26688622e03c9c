"""Stacked autoencoder: the phases of the pretraining, their cost and their results."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.callback import ScoringMonitor
from sklearn.exceptions import ConvergenceWarning

from skae import Autoencoder, StackedAutoencoder
from skae.core.networks.dense import Dense

PRETRAININGS = ["autoencoder", "denoising", "contractive", "rbm"]


def stacked(**parameters) -> StackedAutoencoder:
    defaults = {"hidden_layer_sizes": (24, 12), "pretraining_iter": 5, "max_iter": 5}
    return StackedAutoencoder(4, random_state=0, **(defaults | parameters))


@pytest.mark.parametrize("pretraining", PRETRAININGS)
def test_each_phase_learns(digits, pretraining):
    model = stacked(pretraining=pretraining, pretraining_iter=15, fine_tune=False).fit(digits)
    assert len(model.phases_) == 3
    for phase in model.phases_:
        curve = np.sum(list(phase.values()), axis=0)
        assert len(curve) == 15
        assert curve[-1] < 0.8 * curve[0]
    assert model.n_iter_ == 0


@pytest.mark.parametrize("pretraining", PRETRAININGS)
def test_fine_tuning_starts_from_the_stack_and_improves_it(digits, pretraining):
    stack = stacked(pretraining=pretraining, fine_tune=False).fit(digits)
    tuned = stacked(pretraining=pretraining).fit(digits)
    assert tuned.phases_ == stack.phases_
    # The same network is validated before the first epoch.
    assert tuned.validation_scores_[0] == pytest.approx(stack.validation_scores_[0], abs=1e-6)
    assert tuned.score(digits) > stack.score(digits) + 0.02


def test_a_pretrained_start_is_better_than_random_weights(digits):
    shared = {"max_iter": 5, "hidden_layer_sizes": (64, 32), "random_state": 0}
    plain = Autoencoder(8, shortcut=None, weight_decay=0.0, **shared).fit(digits)
    model = StackedAutoencoder(8, pretraining_iter=10, **shared).fit(digits)
    assert model.validation_scores_[0] > plain.validation_scores_[0] + 0.2
    assert model.best_loss_ < 0.95 * plain.best_loss_


@pytest.mark.parametrize("pretraining", ["autoencoder", "denoising", "rbm"])
def test_each_layer_passes_its_output_on_once(digits, monkeypatch, pretraining):
    """Rows through each layer of the encoder, counted in the layers' own forward passes."""
    n_rows, n_epochs, rows_seen = 1000, 5, {}
    forward = Dense.forward

    def counting(layer, x):
        rows_seen[id(layer.weight)] = rows_seen.get(id(layer.weight), 0) + x.shape[-2]
        return forward(layer, x)

    monkeypatch.setattr(Dense, "forward", counting)
    model = stacked(
        pretraining=pretraining, pretraining_iter=n_epochs, fine_tune=False, early_stopping=False
    )
    layers = []
    initialise = type(model)._initialise

    def remembering(self, model, *others):
        layers.extend(model.network.encoder.layers)
        result = initialise(self, model, *others)
        rows_seen["after pretraining"] = [rows_seen[id(layer.weight)] for layer in layers]
        return result

    monkeypatch.setattr(type(model), "_initialise", remembering)
    model.fit(digits[:n_rows])
    # A layer's own phase does not go through Dense.forward, since its gradient is written by hand.
    # What is left is the one pass whose output the next phase gets.
    assert rows_seen["after pretraining"] == [n_rows] * 3


def test_later_phases_do_not_change_the_layers_below(digits, monkeypatch):
    model, after_phase = stacked(fine_tune=False), []
    train_layer = type(model)._train_layer

    def remembering(self, phase, *args, **settings):
        history = train_layer(self, phase, *args, **settings)
        after_phase.append(phase.network.encoder.layers[0].weight.detach().clone())
        return history

    monkeypatch.setattr(type(model), "_train_layer", remembering)
    layers = model.fit(digits)._model.network.encoder.layers
    for weight, layer in list(zip(after_phase, layers, strict=True))[:-1]:  # the code is rotated
        assert torch.equal(weight[0], layer.weight)


@pytest.mark.parametrize("hidden_layer_sizes", [(), (24,), (24, 12, 8)])
@pytest.mark.parametrize("pretraining", PRETRAININGS)
def test_tied_weights_are_one_tensor_in_every_depth(iris, pretraining, hidden_layer_sizes):
    settings = {"pretraining": pretraining, "hidden_layer_sizes": hidden_layer_sizes}
    tied = stacked(tied_weights=True, **settings).fit(iris)._model.network
    free = stacked(**settings).fit(iris)._model.network
    for coding, decoding in zip(tied.encoder.layers, tied.decoder.layers[::-1], strict=True):
        assert coding.weight is decoding.weight

    def n_weights(network) -> int:
        return sum(p.numel() for p in network.parameters() if p.ndim == 2)

    assert 2 * n_weights(tied) == n_weights(free)


def test_rbm_weights_are_transposed_in_the_decoder(digits):
    model = stacked(pretraining="rbm", fine_tune=False, code_activation="logistic").fit(digits)
    network = model._model.network
    for coding, decoding in zip(network.encoder.layers, network.decoder.layers[::-1], strict=True):
        assert torch.equal(coding.weight.T, decoding.weight)
        assert coding.weight is not decoding.weight
    assert network.encoder.activation == "logistic"


def test_rbm_with_bernoulli_visible_units(digits):
    """X in [0, 1]: unrolled, the machines reconstruct far better than the mean does."""
    X = digits / 16
    model = StackedAutoencoder(
        16, hidden_layer_sizes=(64,), pretraining="rbm", loss="log_loss", fine_tune=False
    ).fit(X)
    assert model.score(X) > 0.5


def test_contraction_flattens_the_layers(digits):
    def norm(alpha: float) -> float:
        model = stacked(pretraining="contractive", alpha=alpha, fine_tune=False).fit(digits)
        z = torch.from_numpy((digits - model.mean_) / model._model.scale).float()[:200]
        first = model._model.network.encoder.layers[0]
        slopes = torch.autograd.functional.jacobian(
            lambda x: torch.nn.functional.gelu(first(x)).sum(0), z
        )
        return float(slopes.square().sum() / len(z))

    assert norm(0.1) < 0.5 * norm(1e-4)


def test_callbacks_see_every_epoch(iris):
    monitor = ScoringMonitor(scoring={"score": lambda estimator, X, y: estimator.score(X)})
    model = stacked(hidden_layer_sizes=(8,), pretraining_iter=3, max_iter=4, n_iter_no_change=9)
    model.set_callbacks(monitor).fit(iris)
    epochs = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert [row["task_id"] for row in epochs] == list(range(2 * 3 + 4))


@pytest.mark.parametrize("fit", ["fit", "partial_fit"])
def test_interrupt_during_a_phase_ends_the_fit(digits, monkeypatch, fit):
    model = stacked()
    train, n_runs = type(model)._train, []

    def interrupted(self, *args, **settings):
        history = train(self, *args, **settings)
        n_runs.append(len(n_runs))
        history.stopped_by = "interrupt" if len(n_runs) == 2 else history.stopped_by
        return history

    monkeypatch.setattr(type(model), "_train", interrupted)
    getattr(model, fit)(digits[:200])
    assert len(model.phases_) == 2
    assert model.n_iter_ == 0
    assert np.isfinite(model.transform(digits)).all()
    assert model.partial_fit(digits).n_iter_ == 1


def test_warm_start_and_partial_fit_pretrain_once(digits):
    model = stacked(warm_start=True, early_stopping=False).fit(digits)
    phases, last = model.phases_, model.loss_curve_[-1]
    model.fit(digits)
    assert model.phases_ is phases
    assert model.loss_curve_[-1] < last
    model = stacked(learning_rate_init=1e-3)
    model.partial_fit(digits[:900])
    phases = model.phases_
    assert len(phases) == 3
    assert model.partial_fit(digits[900:]).phases_ is phases
    assert model.n_iter_ == 2


@pytest.mark.parametrize("pretraining", ["autoencoder", "rbm"])
@pytest.mark.parametrize("loss", ["squared_error", "log_loss"])
def test_a_feature_that_never_varied_does_not_move_the_code(digits, pretraining, loss):
    X = np.column_stack([digits[:300] / 16, np.ones(300)])
    model = stacked(pretraining=pretraining, loss=loss, fine_tune=False).fit(X)
    changed = X.copy()
    changed[:, -1] = 0.0
    np.testing.assert_allclose(model.transform(changed), model.transform(X), atol=1e-9)


def test_without_fine_tuning_training_does_not_continue(digits):
    model = stacked(warm_start=True, fine_tune=False, transform_max_iter=0).fit(digits)
    code = model.transform(digits)
    assert model.fit(digits).n_iter_ == 0
    np.testing.assert_allclose(model.transform(digits), code, atol=1e-5)
    with pytest.raises(ValueError, match="which fine_tune=False leaves"):
        model.partial_fit(digits)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"pretraining": "rbm", "activation": "relu"}, "logistic hidden units, but activation='re"),
        ({"pretraining": "rbm", "code_activation": "relu"}, "normal or logistic code units"),
        ({"pretraining": "rbm", "loss": "poisson"}, "so loss='poisson' does not fit"),
        (
            {"pretraining": "rbm", "loss": "log_loss", "tied_weights": True},
            "needs tied_weights=False",
        ),
        ({"pretraining": "rbm", "solver": "lbfgs"}, "a line search has nothing to go by"),
        ({"pretraining": "dbm"}, "The 'pretraining' parameter"),
        ({"pretraining_iter": 0}, "The 'pretraining_iter' parameter"),
        ({"noise_level": 1.0}, "The 'noise_level' parameter"),
        ({"alpha": -1.0}, "The 'alpha' parameter"),
    ],
)
def test_bad_input(parameters, message):
    X = np.random.default_rng(0).random((30, 4))
    with pytest.raises(ValueError, match=message):
        stacked(**parameters).fit(X)


@pytest.mark.parametrize("parameters", [{}, {"pretraining": "rbm", "solver": "sgd"}])
def test_warns_of_divergence_in_a_phase(digits, parameters):
    with pytest.warns(ConvergenceWarning, match="Training diverged"):
        model = stacked(learning_rate_init=1e6, **parameters).fit(digits)
    assert np.isfinite(model.reconstruct(digits)).all()


def test_a_warm_start_may_use_a_solver_that_cannot_pretrain_rbms(iris):
    model = StackedAutoencoder(
        2, hidden_layer_sizes=(8,), pretraining="rbm", pretraining_iter=2, max_iter=2,
        warm_start=True, random_state=0,
    ).fit(iris)  # fmt: skip
    before = model.score(iris)
    assert model.set_params(solver="lbfgs", max_iter=20).fit(iris).score(iris) > before
