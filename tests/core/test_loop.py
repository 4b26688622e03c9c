from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skae.core import loop
from skae.core.autograd import Autograd
from skae.core.loop import Settings, batch_sizes, epoch_batches, learning_rate_factor, train
from skae.core.networks.autoencoder import Architecture, build_network
from skae.core.optimizers import OPTIMIZERS, AdamW, FlatParameters
from skae.fitting.split import Split, cross_fit, no_split


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


N_ROWS, N_FEATURES = 23, 6
DATA = torch.randn(N_ROWS, N_FEATURES, generator=seeded(1)) @ torch.randn(
    N_FEATURES, N_FEATURES, generator=seeded(2)
)
DATA = (DATA - DATA.mean(0)) / DATA.std()


def five_folds(generator: torch.Generator) -> Split:
    return cross_fit(torch.randperm(N_ROWS, generator=generator).tensor_split(5), N_ROWS)


class Setup:
    """A small network on DATA, ready to train."""

    def __init__(self, split: Split, optimizer: str = "adamw", **changes: object) -> None:
        architecture = Architecture(N_FEATURES, 2, (5,), "tanh")
        self.network = build_network(
            architecture, generator=seeded(3), n_models=len(split.training)
        )
        self.parameters = FlatParameters(self.network.parameters())
        self.optimizer = OPTIMIZERS[optimizer](self.parameters, 0.05, len(split.training))
        self.split = split
        defaults = {"batch_size": 8, "max_epochs": 6, "learning_rate": 0.02, "shuffle": False}
        settings = defaults | changes
        self.settings = Settings(**{"cycle": settings["max_epochs"]} | settings)

    def objective(self, inputs, target):
        return {"reconstruction": (self.network(inputs) - target).square().mean()}

    def train(self, objective=None, **options):
        return train(
            self.parameters,
            self.optimizer,
            Autograd(self.parameters, objective or self.objective, len(self.split.training)),
            DATA,
            self.split.training,
            self.settings,
            generator=seeded(4),
            **options,
        )

    def values(self) -> torch.Tensor:
        return self.parameters.values.clone()


class Recorder:
    """Epoch hooks that keep the parameters after each epoch, and may interfere."""

    def __init__(self, setup: Setup, at_epoch: int | None = None, act=None) -> None:
        self.setup, self.at_epoch, self.act = setup, at_epoch, act
        self.states = [setup.values()]

    def begin_epoch(self):
        pass

    def end_epoch(self, history):
        self.states.append(self.setup.values())
        return self.act() if len(history.losses) == self.at_epoch else False


def interrupt():
    raise KeyboardInterrupt


def scripted_validation(means, n_rows=50):
    """Return a validation with given mean losses: at the start, then epoch by epoch."""
    answers = iter(means)
    return lambda: torch.full((n_rows,), next(answers), dtype=torch.float64)


def test_the_state_that_the_last_steps_of_an_epoch_led_astray_is_not_kept():
    setup = Setup(no_split(N_ROWS))
    step, n_steps = setup.optimizer.step, 0
    n_batches = len(batch_sizes(N_ROWS, setup.settings.batch_size))
    good = []

    def astray(closure, learning_rate):
        nonlocal n_steps
        step(closure, learning_rate)
        n_steps += 1
        if n_steps == n_batches:
            good.append(setup.values())
        if n_steps == 2 * n_batches:
            setup.parameters.values.mul_(1e6)

    setup.optimizer.step = astray
    history = setup.train()
    assert history.stopped_by == "divergence"
    assert history.best_epoch == 1
    assert torch.equal(setup.values(), good[0])


# -- models trained together --------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "sgd"])
def test_models_of_a_cross_fit_train_as_they_would_alone(optimizer):
    split = five_folds(seeded(5))
    together = Setup(split, optimizer)
    together.train()
    longest = max(map(len, split.training))
    for model, rows in enumerate(split.training):
        # A shorter fold begins again, to take as many steps as the longest.
        alone = Setup(Split([torch.cat([rows, rows[: longest - len(rows)]])]), optimizer)
        alone.train()
        one, other = together.network.select_model(model), alone.network.select_model(0)
        torch.testing.assert_close(one(DATA), other(DATA), rtol=1e-3, atol=1e-4)


def test_training_in_pieces_of_the_data_changes_nothing(monkeypatch):
    whole = Setup(no_split(N_ROWS), shuffle=True)
    whole.train()
    monkeypatch.setattr(loop, "_GATHERED_ENTRIES", 1)
    pieces = Setup(no_split(N_ROWS), shuffle=True)
    pieces.train()
    assert torch.equal(whole.values(), pieces.values())


def test_same_generator_same_bits():
    first, second = (Setup(no_split(N_ROWS), shuffle=True) for _ in range(2))
    first.train()
    second.train()
    assert torch.equal(first.values(), second.values())


# -- batches ------------------------------------------------------------------------------------


def batches_of(data, rows, batch_size, *, shuffle=True, generator=None):
    sizes = batch_sizes(max(map(len, rows)), batch_size)
    return list(epoch_batches(data, rows, sizes, shuffle, generator or seeded()))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(n_rows=st.integers(2, 300), batch_size=st.integers(1, 300), shuffle=st.booleans())
def test_batches_cover_every_row_once(n_rows, batch_size, shuffle):
    data = torch.arange(float(n_rows))[:, None]
    rows = no_split(n_rows).training
    batches = batches_of(data, rows, min(batch_size, n_rows), shuffle=shuffle)
    assert sorted(torch.cat(batches, dim=1)[0, :, 0].tolist()) == list(range(n_rows))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(n_rows=st.integers(2, 300), batch_size=st.integers(1, 300))
@example(n_rows=241, batch_size=16)
def test_no_batch_is_a_scrap(n_rows, batch_size):
    data = torch.zeros(n_rows, 1)
    batches = batches_of(data, no_split(n_rows).training, min(batch_size, n_rows))
    sizes = [batch.shape[1] for batch in batches]
    assert max(sizes) <= 2 * min(sizes)


def test_batches_of_a_cross_fit_belong_to_their_models():
    split = five_folds(seeded())
    data = torch.arange(float(N_ROWS))[:, None]
    batches = torch.cat(batches_of(data, split.training, 5), dim=1)[..., 0]
    assert batches.shape == (6, N_ROWS)
    for seen, rows in zip(batches, split.training, strict=True):
        assert set(seen.tolist()) == set(rows.tolist())


def test_shuffled_epochs_differ_and_unshuffled_do_not():
    data = torch.arange(float(N_ROWS))[:, None]
    rows = no_split(N_ROWS).training
    for shuffle in (True, False):
        generator = seeded()
        first, second = (
            torch.cat(batches_of(data, rows, 5, shuffle=shuffle, generator=generator), dim=1)
            for _ in range(2)
        )
        assert torch.equal(first, second) is not shuffle


def test_the_target_of_a_corrupted_batch_is_the_batch_itself():
    setup = Setup(no_split(N_ROWS), max_epochs=2)
    seen = []

    def objective(inputs, target):
        seen.append((inputs, target))
        return setup.objective(inputs, target)

    setup.train(objective, corrupt=lambda batch: batch + 1)
    # One more for the loss after the last step.
    n_batches = 2 * len(batch_sizes(N_ROWS, setup.settings.batch_size))
    assert len(seen) == n_batches + 1
    assert all(torch.equal(inputs, target + 1) for inputs, target in seen)
    epoch = torch.cat([target for _, target in seen[: n_batches // 2]], dim=1)
    assert torch.equal(epoch[0], DATA)


# -- learning rate ------------------------------------------------------------------------------


@pytest.mark.parametrize("n_steps", [40, 1000])
def test_schedule_rises_then_falls_to_zero(n_steps):
    shares = [learning_rate_factor(step, n_steps) for step in range(1, n_steps + 1)]
    peak = shares.index(max(shares))
    assert 0.9 < shares[peak] <= 1
    assert shares[0] > 0
    assert shares[-1] == pytest.approx(0, abs=1e-12)
    assert all(a < b for a, b in pairwise(shares[: peak + 1]))
    assert all(a > b for a, b in pairwise(shares[peak:]))


def test_learning_rates_add_up_to_half_the_highest_times_the_steps():
    factors = [learning_rate_factor(step, 1000) for step in range(1, 1001)]
    assert sum(factors) == pytest.approx(500, rel=0.06)


def test_each_cycle_begins_at_the_highest_rate_and_only_the_first_one_warms_up():
    first, second, third = (
        [learning_rate_factor(c * 40 + step, 40) for step in range(1, 41)] for c in range(3)
    )
    assert second == pytest.approx(third)
    assert all(a > b for a, b in pairwise(second))
    assert second[0] > 0.99
    assert second[4:] == pytest.approx(first[4:])


@pytest.mark.parametrize("constant", [True, False])
def test_optimizer_is_given_the_scheduled_rate(constant, monkeypatch):
    rates = []
    step = AdamW.step
    monkeypatch.setattr(
        AdamW, "step", lambda self, closure, rate: (rates.append(rate), step(self, closure, rate))
    )
    Setup(no_split(N_ROWS), constant_learning_rate=constant).train()
    n_steps = len(rates)
    factors = [learning_rate_factor(step, n_steps) for step in range(1, n_steps + 1)]
    expected = [0.02 * (1 if constant else factor) for factor in factors]
    assert rates == pytest.approx(expected)


# -- which state is kept ------------------------------------------------------------------------


def test_the_best_epoch_is_restored():
    setup = Setup(no_split(N_ROWS))
    recorder = Recorder(setup)
    validate = scripted_validation([1, 0.8, 0.5, 0.6, 0.4, 0.7, 0.9])
    history = setup.train(validate=validate, callbacks=recorder)
    assert history.best_epoch == 4
    assert history.validation == pytest.approx([1, 0.8, 0.5, 0.6, 0.4, 0.7, 0.9])
    assert torch.equal(setup.values(), recorder.states[4])


def test_the_start_is_restored_if_no_epoch_is_better():
    setup = Setup(no_split(N_ROWS))
    start = setup.values()
    history = setup.train(validate=scripted_validation([1, 1.1, 1.2, 1.1, 1.3, 1.2, 1.4]))
    assert history.best_epoch == 0
    assert torch.equal(setup.values(), start)


def test_the_best_epoch_is_kept_if_the_start_may_not_be():
    setup = Setup(no_split(N_ROWS), may_keep_start=False)
    recorder = Recorder(setup)
    validate = scripted_validation([1, 1.3, 1.2, 1.1, 1.3, 1.2, 1.4])
    history = setup.train(validate=validate, callbacks=recorder)
    assert history.best_epoch == 3
    assert torch.equal(setup.values(), recorder.states[3])


def test_without_validation_the_last_epoch_is_kept():
    setup = Setup(no_split(N_ROWS))
    recorder = Recorder(setup)
    history = setup.train(callbacks=recorder)
    assert history.best_epoch == len(history.losses) == 6
    assert torch.equal(setup.values(), recorder.states[6])


@pytest.mark.parametrize("is_validated", [True, False])
def test_interrupt_keeps_the_best_state(is_validated):
    setup = Setup(no_split(N_ROWS))
    recorder = Recorder(setup, at_epoch=3, act=interrupt)
    validate = scripted_validation([1, 0.5, 0.3, 0.4]) if is_validated else None
    history = setup.train(validate=validate, callbacks=recorder)
    assert history.stopped_by == "interrupt"
    assert history.best_epoch == (2 if is_validated else 3)
    assert torch.equal(setup.values(), recorder.states[history.best_epoch])


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e9])
@pytest.mark.parametrize("batch_of_epoch", [1, 2])
def test_divergence_keeps_the_last_good_state(bad, batch_of_epoch):
    """No loss tells of the end of the last good epoch, so its beginning is kept."""
    setup = Setup(no_split(N_ROWS))
    recorder = Recorder(setup)
    n_batches = 0

    def objective(inputs, target):
        nonlocal n_batches
        in_fourth_epoch = len(recorder.states) == 4
        n_batches += in_fourth_epoch
        factor = bad if in_fourth_epoch and n_batches >= batch_of_epoch else 1.0
        return {"reconstruction": setup.objective(inputs, target)["reconstruction"] * factor}

    history = setup.train(objective, callbacks=recorder)
    assert history.stopped_by == "divergence"
    assert len(history.losses) == 4
    assert history.best_epoch == 2
    assert torch.equal(setup.values(), recorder.states[2])


@pytest.mark.parametrize(
    ("factors", "kept"), [([0.5, 40.0, 400.0, 1e9], 0), ([0.5, 0.1, 0.2, 40.0, 1e9], 1)]
)
def test_a_divergence_goes_back_to_before_the_losses_rose(factors, kept):
    setup = Setup(no_split(N_ROWS))
    recorder = Recorder(setup)

    def objective(inputs, target):
        factor = factors[len(recorder.states) - 1]
        return {"reconstruction": setup.objective(inputs, target)["reconstruction"] * factor}

    history = setup.train(objective, callbacks=recorder)
    assert history.stopped_by == "divergence"
    assert history.best_epoch == kept
    assert torch.equal(setup.values(), recorder.states[kept])


@pytest.mark.parametrize("is_validated", [True, False])
def test_after_a_divergence_training_goes_on_at_a_tenth_of_the_rate(is_validated):
    setup = Setup(no_split(N_ROWS), max_restarts=2)
    rates, n_calls, n_batches = [], 0, len(batch_sizes(N_ROWS, 8))
    step = AdamW.step

    def objective(inputs, target):
        nonlocal n_calls
        n_calls += 1
        factor = math.nan if n_calls == 2 * n_batches else 1.0  # in the second epoch
        return {"reconstruction": setup.objective(inputs, target)["reconstruction"] * factor}

    def record(optimizer, closure, learning_rate):
        rates.append(learning_rate)
        step(optimizer, closure, learning_rate)

    recorder = Recorder(setup)
    validate = scripted_validation([1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4]) if is_validated else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AdamW, "step", record)
        history = setup.train(objective, callbacks=recorder, validate=validate)
    assert history.stopped_by == "max_epochs"
    assert history.restart_rate == pytest.approx(0.002)
    assert len(history.losses) == len(history.terms["reconstruction"]) == 6
    assert len(recorder.states) - 1 == 6  # the repeated epoch is reported once
    assert all(map(math.isfinite, history.losses))
    # The second epoch has the same steps of the schedule twice.
    again = rates[2 * n_batches : 3 * n_batches]
    assert again == pytest.approx([0.1 * rate for rate in rates[n_batches : 2 * n_batches]])
    assert setup.values().isfinite().all()


def test_training_that_diverges_again_and_again_ends():
    setup = Setup(no_split(N_ROWS), max_restarts=2)

    def objective(inputs, target):
        return {"reconstruction": setup.objective(inputs, target)["reconstruction"] * math.nan}

    before = setup.values()
    history = setup.train(objective, validate=scripted_validation([1]))
    assert history.stopped_by == "divergence"
    assert history.restart_rate == pytest.approx(0.0002)
    assert len(history.losses) == 1
    assert torch.equal(setup.values(), before)


def test_patience_counts_epochs_without_improvement():
    setup = Setup(no_split(N_ROWS), patience=2, max_epochs=9)
    history = setup.train(validate=scripted_validation([1, 0.8, 0.7, 0.75, 0.72, 0.1]))
    assert history.stopped_by == "patience"
    assert len(history.losses) == 4
    assert history.best_epoch == 2


def test_patience_waits_below_a_start_that_training_has_yet_to_reach():
    setup = Setup(no_split(N_ROWS), patience=2, max_epochs=5)
    history = setup.train(validate=scripted_validation([0.5, 1, 0.9, 0.8, 0.7, 0.4]))
    assert history.best_epoch == 5


def test_improvement_below_tol_does_not_count():
    setup = Setup(no_split(N_ROWS), patience=2, max_epochs=9, tol=0.1)
    history = setup.train(validate=scripted_validation([1, 0.9, 0.88, 0.87, 0.1]))
    assert len(history.losses) == 3


def falling(n_epochs: int, share: float) -> list[float]:
    """Return losses of which each is this share of the one before."""
    return [share**epoch for epoch in range(n_epochs + 1)]


LATE, EARLY = 9, 8  # of ten epochs; the last fifth are 9 and 10


@pytest.mark.parametrize(
    ("losses", "n_epochs"),
    [
        (falling(30, 0.9), 30),
        # The best epoch of the first cycle is in its last fifth, or not.
        ([*falling(LATE, 0.9), 1.0, *[1.0] * 10], 20),
        ([*falling(EARLY, 0.9), 1.0, 1.0], 10),
        # The second cycle lowers the loss by 3 %, by 1 % or not at all.
        ([*falling(10, 0.9), *[1.0] * 9, 0.97 * 0.9**10, *[1.0] * 10], 30),
        ([*falling(10, 0.9), *[1.0] * 9, 0.99 * 0.9**10], 20),
        ([*falling(10, 0.9), *[1.0] * 9, 1.01 * 0.9**10], 20),
    ],
)
def test_another_cycle_follows_one_that_paid_until_its_end(losses, n_epochs):
    setup = Setup(no_split(N_ROWS), max_epochs=30, cycle=10)
    history = setup.train(validate=scripted_validation(losses))
    assert len(history.losses) == n_epochs
    assert history.stopped_by == ("max_epochs" if n_epochs == 30 else "patience")


@pytest.mark.parametrize(("reference", "n_epochs"), [(1.0, 10), (0.1, 20)])
def test_a_cycle_pays_in_units_of_the_reference_loss(reference, n_epochs):
    """A likelihood has no zero: the gain is 0.01 here."""
    setup = Setup(no_split(N_ROWS), max_epochs=20, cycle=10, reference_loss=reference)
    losses = [-5.0 - 0.001 * epoch for epoch in range(21)]
    assert len(setup.train(validate=scripted_validation(losses)).losses) == n_epochs


def test_patience_compares_with_losses_of_the_same_cycle():
    """The loss rises with the learning rate; a cycle that never falls below the last one ends."""
    setup = Setup(no_split(N_ROWS), max_epochs=20, cycle=10, patience=3)
    losses = falling(10, 0.9)
    losses += [0.8, 0.7, 0.6, 0.5, 0.4, 0.45, 0.45, 0.45, 0.1, 0.1]
    history = setup.train(validate=scripted_validation(losses))
    assert (history.stopped_by, len(history.losses), history.best_epoch) == ("patience", 18, 10)


def test_weights_decay_in_the_first_cycle_only():
    """Without gradients, weight decay alone changes the weights."""
    decays, setup = [], Setup(no_split(N_ROWS), max_epochs=12, cycle=6)
    recorder = Recorder(setup)
    recorder.begin_epoch = lambda: decays.append(setup.optimizer.weight_decay)
    setup.train(validate=scripted_validation(falling(12, 0.9)), callbacks=recorder)
    assert decays == [0.05] * 6 + [0.0] * 6


def test_a_hook_that_returns_true_stops():
    setup = Setup(no_split(N_ROWS))
    history = setup.train(callbacks=Recorder(setup, at_epoch=2, act=lambda: True))
    assert history.stopped_by == "callback"
    assert len(history.losses) == 2


def test_losses_are_the_sums_of_the_terms():
    setup = Setup(no_split(N_ROWS))

    def objective(inputs, target):
        penalty = setup.parameters.tensors[0].square().mean()
        return setup.objective(inputs, target) | {"penalty": penalty}

    history = setup.train(objective)
    assert set(history.terms) == {"reconstruction", "penalty"}
    pairs = zip(*history.terms.values(), strict=True)
    assert history.losses == pytest.approx([a + b for a, b in pairs])


def test_every_term_is_minimised():
    setup = Setup(no_split(N_ROWS), max_epochs=60, learning_rate=0.05)
    first = setup.parameters.tensors[0]

    def objective(inputs, target):
        return setup.objective(inputs, target) | {"penalty": first.square().mean() * 10}

    before = float(first.detach().square().mean())
    setup.train(objective)
    assert float(first.detach().square().mean()) < 0.05 * before
