"""Terms, row losses and symmetries of a criterion, and penalties beside a corruption."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits

from skae import (
    Autoencoder,
    ContractiveAutoencoder,
    PredictiveSparseDecomposition,
    SparseAutoencoder,
    VariationalAutoencoder,
)
from skae.core.criterion import CodeSymmetry, ForwardPass, Penalty, Reconstruction
from skae.core.dictionary import SparseCoding
from skae.core.loop import batch_sizes
from skae.core.losses import LOSSES
from skae.core.model import Model
from skae.core.networks.autoencoder import Architecture, build_network
from skae.core.networks.dictionary import DictionaryArchitecture
from skae.fitting.data import training_rows
from skae.fitting.pca_init import new_model
from skae.fitting.split import Split, cross_fit

N_ROWS = 60
METHODS = [
    *(
        SparseAutoencoder(8, penalty=penalty, alpha=0.5)
        for penalty in ("kl", "l1", "l2", "student_t")
    ),
    SparseAutoencoder(40, penalty="topk", n_active=2),
    ContractiveAutoencoder(3, hidden_layer_sizes=(7,), alpha=0.5),
    PredictiveSparseDecomposition(8),
]


# -- models side by side ------------------------------------------------------------------------


def two_models(estimator, X):
    """Return the models of a cross-fit after a random step that tells them apart."""
    generator = torch.Generator().manual_seed(0)
    split = cross_fit([torch.arange(20)], len(X))
    model, _ = new_model(estimator, X, split, generator)
    with torch.no_grad():
        for p in model.network.parameters():
            p.add_(torch.empty_like(p).normal_(std=0.1, generator=generator))
    return model, split


def row_losses(estimator, model, rows, mask):
    criterion = estimator._criterion(model)
    measured = criterion.measure(rows, rows, torch.Generator().manual_seed(0))
    return criterion.row_losses(measured, mask)


@pytest.mark.parametrize("method", METHODS)
def test_a_model_beside_others_is_validated_as_if_it_were_alone(method):
    X = load_digits().data[:N_ROWS]
    estimator = clone(method)
    model, split = two_models(estimator, X)
    z = training_rows(X, model.mean.numpy(), model.scale)
    with torch.no_grad():
        together = row_losses(estimator, model, z[split.held_out], split.mask)
        assert together.shape == split.mask.shape
        for i in range(2):
            alone, rows, mask = model.select_model(i), z[split.held_out[i]], split.mask[i]
            torch.testing.assert_close(together[i], row_losses(estimator, alone, rows, mask))


# -- penalties ----------------------------------------------------------------------------------


def mean_square(model: Model, batch: ForwardPass) -> torch.Tensor:
    return batch.code.square().sum(-1).mean(-1)


def small_model(code_activation: str = "identity") -> Model:
    architecture = Architecture(6, 3, (5,), "tanh", code_activation)
    network = build_network(architecture, generator=torch.Generator().manual_seed(0))
    return Model(network, torch.zeros(6, dtype=torch.float64), 1.0, LOSSES["squared_error"])


@pytest.mark.parametrize("names", [["reconstruction"], ["size", "size"], ["a", "b", "a"]])
def test_terms_of_one_name_are_an_error(names):
    penalties = [Penalty(name, 0.1, mean_square) for name in names]
    message = (
        f"The terms of an objective need different names, but they are "
        f"{['reconstruction', *names]}. Rename a penalty; 'reconstruction' is the loss itself."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Reconstruction(small_model(), penalties)
    criterion = Reconstruction(small_model(), penalties[:-1])
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        criterion.with_penalty(penalties[-1])


def test_a_penalty_is_added_to_a_copy():
    plain = Reconstruction(small_model())
    penalty = Penalty("size", 0.1, mean_square)
    criterion = plain.with_penalty(penalty)
    assert plain.penalties == []
    assert plain.is_reconstruction_alone
    assert criterion.penalties == [penalty]
    assert not criterion.is_reconstruction_alone
    assert criterion.model is plain.model


def test_a_criterion_without_penalties_says_so():
    architecture = DictionaryArchitecture(6, 3, ())
    network = build_network(architecture, generator=torch.Generator().manual_seed(0))
    mean = torch.zeros(6, dtype=torch.float64)
    criterion = SparseCoding(Model(network, mean, 1.0, LOSSES["squared_error"]), 0.1, 1.0)
    with pytest.raises(
        TypeError, match="SparseCoding is not a reconstruction loss plus penalties, so"
    ):
        criterion.with_penalty(Penalty("size", 0.1, mean_square))


@dataclass(eq=False, repr=False)
class UnusedPenalty(Autoencoder):
    """`Autoencoder` with a penalty of weight 0 that must not be evaluated."""

    def _criterion(self, model):
        criterion = super()._criterion(model)
        assert criterion.with_penalty(Penalty("unused", 0.0, self._fail)) is criterion
        return criterion.with_penalty(Penalty("unused", 0.0, self._fail))

    def _fail(self, model, batch):
        raise AssertionError


def test_a_penalty_of_weight_0_changes_no_bit(digits):
    X = digits[:300]
    options = {"hidden_layer_sizes": (16,), "max_iter": 5, "random_state": 0}
    expected, given = (cls(3, **options).fit(X) for cls in (Autoencoder, UnusedPenalty))
    assert given.best_iter_ > 0
    assert given.history_ == expected.history_
    assert set(given.history_) == {"reconstruction"}
    assert given.loss_curve_ == expected.loss_curve_
    assert given.validation_scores_ == expected.validation_scores_
    code = expected.transform(X)
    np.testing.assert_array_equal(given.transform(X), code)
    np.testing.assert_array_equal(given.inverse_transform(code), expected.inverse_transform(code))


# -- a penalty beside a corruption --------------------------------------------------------------


@dataclass(eq=False, repr=False)
class SmallCodeDenoiser(Autoencoder):
    """Adds a penalty and a corruption, and records every call of the latter."""

    def _criterion(self, model):
        return super()._criterion(model).with_penalty(Penalty("size", WEIGHT, mean_square))

    def _corruption(self, model, data):
        self.data, self.calls = data, []

        def noisy(batch, generator):
            inputs = batch + torch.empty_like(batch).normal_(0.0, 0.5, generator=generator)
            parameters = [p.detach().clone() for p in model.network.parameters()]
            self.calls.append(Call(model.network.training, batch.clone(), inputs, parameters))
            return inputs

        return noisy


WEIGHT = 0.1


@dataclass
class Call:
    """What a corruption got and returned, and the parameters at that time."""

    is_training: bool
    batch: torch.Tensor
    inputs: torch.Tensor
    parameters: list[torch.Tensor]

    def losses(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return by hand the squared error of each row, and the weighted penalty of each model."""
        w1, b1, w2, b2, v1, c1, v2, c2 = self.parameters
        code = torch.tanh(self.inputs @ w1 + b1) @ w2 + b2
        output = torch.tanh(code @ v1 + c1) @ v2 + c2
        return (output - self.batch).square().mean(-1), WEIGHT * (code**2).sum(-1).mean(-1)


@pytest.fixture(scope="module", params=[True, False], ids=["folds", "single_split"])
def recorded(request):
    """A fit with both, and how it split the rows."""
    splits: list[Split] = []

    class Recorded(SmallCodeDenoiser):
        _may_cross_fit = request.param

        def _split(self, *args, **options):
            found = super()._split(*args, **options)
            splits.append(found[0])
            return found

    estimator = Recorded(
        2,
        hidden_layer_sizes=(5,),
        activation="tanh",
        shortcut=None,
        weight_decay=0.0,
        batch_size=16,
        max_iter=4,
        random_state=0,
    )
    return estimator.fit(load_digits().data[:N_ROWS]), splits[0]


def test_every_training_batch_is_corrupted(recorded):
    estimator, split = recorded
    calls = [call for call in estimator.calls if call.is_training]
    n_batches = len(batch_sizes(max(map(len, split.training)), 16))
    assert len(calls) == 4 * n_batches
    for epoch in range(4):
        batches = [call.batch for call in calls[epoch * n_batches : (epoch + 1) * n_batches]]
        for seen, rows in zip(torch.cat(batches, dim=1), split.training, strict=True):
            expected = {tuple(row) for row in estimator.data[rows].tolist()}
            assert {tuple(row) for row in seen.tolist()} == expected


def test_training_terms_are_those_of_the_corrupted_batches(recorded):
    estimator, _ = recorded
    assert set(estimator.history_) == {"reconstruction", "size"}
    calls = [call for call in estimator.calls if call.is_training]
    losses = [[float(term.mean()) for term in call.losses()] for call in calls]
    reconstruction, size = np.reshape(losses, (4, -1, 2)).mean(axis=1).T
    np.testing.assert_allclose(estimator.history_["reconstruction"], reconstruction, rtol=1e-5)
    np.testing.assert_allclose(estimator.history_["size"], size, rtol=1e-5)
    np.testing.assert_allclose(estimator.loss_curve_, reconstruction + size, rtol=1e-5)


def test_validation_has_the_same_corruption_each_time(recorded):
    estimator, split = recorded
    calls = [call for call in estimator.calls if not call.is_training]
    assert len(calls) >= 5  # at the start and after each epoch
    for call in calls:
        assert torch.equal(call.batch, estimator.data[split.held_out])
        assert torch.equal(call.inputs, calls[0].inputs)
        assert not torch.equal(call.inputs, call.batch)


def test_a_validation_loss_has_the_penalty_exactly_once(recorded):
    estimator, split = recorded
    calls = [call for call in estimator.calls if not call.is_training][:5]
    expected = []
    for call in calls:
        rows, penalties = call.losses()
        expected.append(float((rows + penalties[:, None])[split.mask].double().mean()))
    assert all(0.05 < float(call.losses()[1].mean()) < 0.5 for call in calls)
    np.testing.assert_allclose(1 - np.array(estimator.validation_scores_), expected, rtol=1e-5)
    assert estimator.best_loss_ == pytest.approx(min(expected), rel=1e-5)


# -- symmetries of the code ---------------------------------------------------------------------


def symmetry_of(code_activation: str, *symmetries: CodeSymmetry) -> CodeSymmetry:
    penalties = [Penalty(f"p{i}", 1.0, mean_square, s) for i, s in enumerate(symmetries)]
    return Reconstruction(small_model(code_activation), penalties).symmetry


@pytest.mark.parametrize(
    ("code_activation", "symmetry"),
    [
        ("identity", CodeSymmetry.LINEAR),
        ("relu", CodeSymmetry.SCALE),
        ("tanh", CodeSymmetry.NONE),
        ("logistic", CodeSymmetry.NONE),
    ],
)
def test_symmetries_of_the_plain_loss_are_those_of_the_activation(code_activation, symmetry):
    assert symmetry_of(code_activation) is symmetry


@pytest.mark.parametrize(
    ("code_activation", "symmetries", "expected"),
    [
        ("identity", [CodeSymmetry.LINEAR], CodeSymmetry.LINEAR),
        ("identity", [CodeSymmetry.ROTATION], CodeSymmetry.ROTATION),
        ("identity", [CodeSymmetry.SCALE], CodeSymmetry.SCALE),
        ("identity", [CodeSymmetry.LINEAR, CodeSymmetry.ROTATION], CodeSymmetry.ROTATION),
        ("identity", [CodeSymmetry.ROTATION, CodeSymmetry.SCALE], CodeSymmetry.NONE),
        ("identity", [CodeSymmetry.LINEAR, CodeSymmetry.NONE], CodeSymmetry.NONE),
        ("relu", [CodeSymmetry.LINEAR], CodeSymmetry.SCALE),
        ("relu", [CodeSymmetry.SCALE], CodeSymmetry.SCALE),
        ("relu", [CodeSymmetry.ROTATION], CodeSymmetry.NONE),
        ("tanh", [CodeSymmetry.LINEAR], CodeSymmetry.NONE),
    ],
)
def test_symmetries_are_those_that_all_terms_share(code_activation, symmetries, expected):
    assert symmetry_of(code_activation, *symmetries) is expected
    assert symmetry_of(code_activation, *symmetries[::-1]) is expected


def test_a_penalty_has_no_symmetry_unless_it_says_so():
    plain = Reconstruction(small_model())
    assert plain.with_penalty(Penalty("size", 1.0, mean_square)).symmetry is CodeSymmetry.NONE


@pytest.mark.parametrize(
    ("code_activation", "change"),
    [
        ("identity", torch.linalg.qr(torch.eye(3) + 0.5).Q),
        ("identity", torch.diag(torch.tensor([2.0, 0.5, -3.0]))),
        ("identity", torch.eye(3) + 0.5),
        ("relu", torch.diag(torch.tensor([2.0, 0.5, 3.0]))),
    ],
    ids=["rotation", "scale", "linear", "scale_of_relu"],
)
def test_a_change_of_the_code_leaves_the_plain_loss(code_activation, change):
    criterion = Reconstruction(small_model(code_activation))
    z = torch.randn(1, 20, 6, generator=torch.Generator().manual_seed(1))
    value, code = criterion.terms(z, z)["reconstruction"], criterion.encode(z)
    last, first = (
        criterion.model.network.encoder.layers[-1],
        criterion.model.network.decoder.layers[0],
    )
    with torch.no_grad():
        for p in (last.weight, last.bias):
            p.copy_(p @ change)
        first.weight.copy_(torch.linalg.inv(change) @ first.weight)
    torch.testing.assert_close(criterion.encode(z), code @ change)
    torch.testing.assert_close(criterion.terms(z, z)["reconstruction"], value)


# -- mistakes in methods of one's own ---------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "got"),
    [
        (lambda model, batch: batch.code.square().sum(-1).mean(), r"\(\)"),
        (lambda model, batch: batch.code.square().sum(-1), r"\(6, \d+\)"),
        (lambda model, batch: batch.code, r"\(6, \d+, 2\)"),
        (lambda model, batch: 0.5, "float"),
        (lambda model, batch: None, "NoneType"),
    ],
)
def test_a_penalty_of_another_shape_is_an_error(iris, function, got):
    class WrongShape(Autoencoder):
        def _criterion(self, model):
            return super()._criterion(model).with_penalty(Penalty("wrong", 0.1, function))

    message = rf"'wrong' must return a tensor of shape \(6,\), one value per model.* returned {got}"
    with pytest.raises(ValueError, match=message):
        WrongShape(2, max_iter=1).fit(iris)


def test_a_weight_that_is_not_finite_is_an_error():
    with pytest.raises(ValueError, match="The penalty 'ridge' has the weight nan"):
        Penalty("ridge", float("nan"), lambda model, batch: batch.code.sum((-2, -1)))


def test_a_penalty_of_weight_0_is_accepted_by_every_criterion(iris):
    class Plain(VariationalAutoencoder):
        def _criterion(self, model):
            unused = Penalty("unused", 0.0, lambda model, batch: batch.code.sum((-2, -1)))
            return super()._criterion(model).with_penalty(unused)

    parameters = {"max_iter": 2, "random_state": 0}
    plain, expected = Plain(2, **parameters), VariationalAutoencoder(2, **parameters)
    assert np.array_equal(plain.fit_transform(iris), expected.fit_transform(iris))


def test_a_corruption_that_works_in_place_leaves_the_target(iris):
    class InPlace(Autoencoder):
        def _corruption(self, model, data):
            return lambda batch, generator: batch.mul_(0.5)

    class OutOfPlace(Autoencoder):
        def _corruption(self, model, data):
            return lambda batch, generator: batch * 0.5

    parameters = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}
    first = InPlace(2, **parameters).fit(iris)
    second = OutOfPlace(2, **parameters).fit(iris)
    assert first.loss_curve_ == second.loss_curve_
    assert first.validation_scores_ == second.validation_scores_
