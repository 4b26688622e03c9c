from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skae._core import training
from skae._core.held_out import Division, cross_fit, no_division
from skae._core.networks import Architecture, build_network, select_model
from skae._core.objectives import Autograd
from skae._core.solvers import SOLVERS, AdamW, FlatParameters
from skae._core.training import Settings, batch_sizes, epoch_batches, schedule, train


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


N_ROWS, N_FEATURES = 23, 6
DATA = torch.randn(N_ROWS, N_FEATURES, generator=seeded(1)) @ torch.randn(
    N_FEATURES, N_FEATURES, generator=seeded(2)
)
DATA = (DATA - DATA.mean(0)) / DATA.std()


def five_folds(generator: torch.Generator) -> Division:
    return cross_fit(torch.randperm(N_ROWS, generator=generator).tensor_split(5), N_ROWS)


class Setup:
    """A small network on DATA, ready to train."""

    def __init__(self, division: Division, solver: str = "adamw", **changes: object) -> None:
        architecture = Architecture(N_FEATURES, 2, (5,), "tanh")
        self.network = build_network(architecture, generator=seeded(3), n_models=division.n_models)
        self.parameters = FlatParameters(self.network.parameters())
        self.solver = SOLVERS[solver](self.parameters, 0.05)
        self.division = division
        defaults = {"batch_size": 8, "max_epochs": 6, "learning_rate": 0.02, "shuffle": False}
        self.settings = Settings(**defaults | changes)

    def objective(self, batch):
        return {"reconstruction": (self.network(batch) - batch).square().mean()}

    def train(self, objective=None, **options):
        return train(
            self.parameters,
            self.solver,
            Autograd(self.parameters, objective or self.objective, self.division.n_models or 1),
            DATA,
            self.division,
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
        return self.act() if history.n_epochs == self.at_epoch else False


def interrupt():
    raise KeyboardInterrupt


def scripted_judge(means, spread=0.0, n_rows=50):
    """Return a judge whose mean losses are given: at the start, then epoch by epoch."""
    noise = torch.linspace(-1, 1, n_rows, dtype=torch.float64)
    answers = iter(means)
    first = [True]

    def judge():
        rows = torch.full((n_rows,), next(answers), dtype=torch.float64)
        if not first[0]:
            rows = rows + spread * noise
        first[0] = False
        return rows

    return judge


def test_the_state_that_the_last_steps_of_an_epoch_led_astray_is_not_kept():
    setup = Setup(no_division(N_ROWS))
    step, n_steps = setup.solver.step, 0
    n_batches = len(batch_sizes(setup.division, setup.settings))
    good = []

    def astray(closure, learning_rate):
        nonlocal n_steps
        step(closure, learning_rate)
        n_steps += 1
        if n_steps == n_batches:
            good.append(setup.values())
        if n_steps == 2 * n_batches:
            setup.parameters.values.mul_(1e6)

    setup.solver.step = astray
    history = setup.train()
    assert history.stopped_by == "divergence"
    assert history.best_epoch == 1
    assert torch.equal(setup.values(), good[0])


# -- models trained together --------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["adamw", "muon", "sgd"])
def test_models_of_a_cross_fit_train_as_they_would_alone(solver):
    division = five_folds(seeded(5))
    together = Setup(division, solver)
    together.train()
    longest = division.n_training
    for model, rows in enumerate(division.training):
        # A shorter fold begins again, to take as many steps as the longest.
        alone = Setup(Division([torch.cat([rows, rows[: longest - len(rows)]])]), solver)
        alone.train()
        one = Setup(division, solver)
        one.parameters.values.copy_(together.values())
        select_model(one.network, model)
        torch.testing.assert_close(one.network(DATA), alone.network(DATA), rtol=1e-3, atol=1e-4)


def test_training_in_pieces_of_the_data_changes_nothing(monkeypatch):
    whole = Setup(no_division(N_ROWS), shuffle=True)
    whole.train()
    monkeypatch.setattr(training, "_GATHERED_ENTRIES", 1)
    pieces = Setup(no_division(N_ROWS), shuffle=True)
    pieces.train()
    assert torch.equal(whole.values(), pieces.values())


def test_same_generator_same_bits():
    first, second = (Setup(no_division(N_ROWS), shuffle=True) for _ in range(2))
    first.train()
    second.train()
    assert torch.equal(first.values(), second.values())


# -- batches ------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None, derandomize=True)
@given(n_rows=st.integers(2, 300), batch_size=st.integers(1, 300), shuffle=st.booleans())
def test_batches_cover_every_row_once(n_rows, batch_size, shuffle):
    data = torch.arange(float(n_rows))[:, None]
    options = Settings(min(batch_size, n_rows), 1, 0.1, shuffle=shuffle)
    batches = list(epoch_batches(data, no_division(n_rows), options, seeded()))
    assert sorted(torch.cat(batches)[:, 0].tolist()) == list(range(n_rows))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(n_rows=st.integers(2, 300), batch_size=st.integers(1, 300))
@example(n_rows=241, batch_size=16)
def test_no_batch_is_a_scrap(n_rows, batch_size):
    data = torch.zeros(n_rows, 1)
    options = Settings(min(batch_size, n_rows), 1, 0.1)
    sizes = [len(b) for b in epoch_batches(data, no_division(n_rows), options, seeded())]
    assert max(sizes) <= 2 * min(sizes)


def test_batches_of_a_cross_fit_belong_to_their_models():
    division = five_folds(seeded())
    data = torch.arange(float(N_ROWS))[:, None]
    options = Settings(5, 1, 0.1)
    batches = torch.cat(list(epoch_batches(data, division, options, seeded())), dim=1)[..., 0]
    assert batches.shape == (6, N_ROWS)
    for seen, rows in zip(batches, division.training, strict=True):
        assert set(seen.tolist()) == set(rows.tolist())


def test_shuffled_epochs_differ_and_unshuffled_do_not():
    data = torch.arange(float(N_ROWS))[:, None]
    for shuffle in (True, False):
        generator = seeded()
        options = Settings(5, 1, 0.1, shuffle=shuffle)
        first, second = (
            torch.cat(list(epoch_batches(data, no_division(N_ROWS), options, generator)))
            for _ in range(2)
        )
        assert torch.equal(first, second) is not shuffle


# -- learning rate ------------------------------------------------------------------------------


@pytest.mark.parametrize("n_steps", [40, 1000])
def test_schedule_rises_then_falls_to_zero(n_steps):
    shares = [schedule(step, n_steps) for step in range(1, n_steps + 1)]
    peak = shares.index(max(shares))
    assert 0.9 < shares[peak] <= 1
    assert shares[0] > 0
    assert shares[-1] == pytest.approx(0, abs=1e-12)
    assert all(a < b for a, b in pairwise(shares[: peak + 1]))
    assert all(a > b for a, b in pairwise(shares[peak:]))


def test_learning_rates_add_up_to_half_the_highest_times_the_steps():
    assert sum(schedule(step, 1000) for step in range(1, 1001)) == pytest.approx(500, rel=0.06)


@pytest.mark.parametrize("constant", [True, False])
def test_solver_is_given_the_scheduled_rate(constant, monkeypatch):
    rates = []
    step = AdamW.step
    monkeypatch.setattr(
        AdamW, "step", lambda self, closure, rate: (rates.append(rate), step(self, closure, rate))
    )
    Setup(no_division(N_ROWS), constant_learning_rate=constant).train()
    n_steps = len(rates)
    expected = [0.02 * (1 if constant else schedule(s, n_steps)) for s in range(1, n_steps + 1)]
    assert rates == pytest.approx(expected)


# -- which state is kept ------------------------------------------------------------------------


def test_the_best_epoch_is_restored():
    setup = Setup(no_division(N_ROWS))
    recorder = Recorder(setup)
    history = setup.train(judge=scripted_judge([1, 0.8, 0.5, 0.6, 0.4, 0.7, 0.9]), hooks=recorder)
    assert history.best_epoch == 4
    assert history.validation == pytest.approx([1, 0.8, 0.5, 0.6, 0.4, 0.7, 0.9])
    assert torch.equal(setup.values(), recorder.states[4])


def test_the_start_is_restored_if_no_epoch_is_better():
    setup = Setup(no_division(N_ROWS))
    start = setup.values()
    history = setup.train(judge=scripted_judge([1, 1.1, 1.2, 1.1, 1.3, 1.2, 1.4]))
    assert history.best_epoch == 0
    assert torch.equal(setup.values(), start)


@pytest.mark.parametrize(("standard_errors", "accepted"), [(2.9, False), (3.1, True)])
def test_training_is_accepted_only_beyond_three_standard_errors(standard_errors, accepted):
    noise = torch.linspace(-1, 1, 50, dtype=torch.float64)
    gain = standard_errors * float(noise.std()) / math.sqrt(50)
    setup = Setup(no_division(N_ROWS), max_epochs=1)
    start = setup.values()
    history = setup.train(judge=scripted_judge([9, 9 - gain], spread=1), must_beat_start=True)
    assert history.best_epoch == int(accepted)
    assert torch.equal(setup.values(), start) is not accepted


def test_without_a_judge_the_last_epoch_is_kept():
    setup = Setup(no_division(N_ROWS))
    recorder = Recorder(setup)
    history = setup.train(hooks=recorder)
    assert history.best_epoch == history.n_epochs == 6
    assert torch.equal(setup.values(), recorder.states[6])


@pytest.mark.parametrize("judged", [True, False])
def test_interrupt_keeps_the_best_state(judged):
    setup = Setup(no_division(N_ROWS))
    recorder = Recorder(setup, at_epoch=3, act=interrupt)
    judge = scripted_judge([1, 0.5, 0.3, 0.4]) if judged else None
    history = setup.train(judge=judge, hooks=recorder)
    assert history.stopped_by == "interrupt"
    assert history.best_epoch == (2 if judged else 3)
    assert torch.equal(setup.values(), recorder.states[history.best_epoch])


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e9])
@pytest.mark.parametrize("batch_of_epoch", [1, 2])
def test_divergence_keeps_the_last_good_state(bad, batch_of_epoch):
    """No loss tells of the end of the last good epoch, so its beginning is kept."""
    setup = Setup(no_division(N_ROWS))
    recorder = Recorder(setup)
    n_batches = 0

    def objective(batch):
        nonlocal n_batches
        in_fourth_epoch = len(recorder.states) == 4
        n_batches += in_fourth_epoch
        factor = bad if in_fourth_epoch and n_batches >= batch_of_epoch else 1.0
        return {"reconstruction": setup.objective(batch)["reconstruction"] * factor}

    history = setup.train(objective, hooks=recorder)
    assert history.stopped_by == "divergence"
    assert history.n_epochs == 4
    assert history.best_epoch == 2
    assert torch.equal(setup.values(), recorder.states[2])


@pytest.mark.parametrize(
    ("factors", "kept"), [([0.5, 40.0, 400.0, 1e9], 0), ([0.5, 0.1, 0.2, 40.0, 1e9], 1)]
)
def test_a_divergence_goes_back_to_before_the_losses_rose(factors, kept):
    setup = Setup(no_division(N_ROWS))
    recorder = Recorder(setup)

    def objective(batch):
        factor = factors[len(recorder.states) - 1]
        return {"reconstruction": setup.objective(batch)["reconstruction"] * factor}

    history = setup.train(objective, hooks=recorder)
    assert history.stopped_by == "divergence"
    assert history.best_epoch == kept
    assert torch.equal(setup.values(), recorder.states[kept])


def test_patience_counts_epochs_without_improvement():
    setup = Setup(no_division(N_ROWS), patience=2, max_epochs=9)
    history = setup.train(judge=scripted_judge([1, 0.8, 0.7, 0.75, 0.72, 0.1]))
    assert history.stopped_by == "patience"
    assert history.n_epochs == 4
    assert history.best_epoch == 2


def test_patience_waits_below_a_start_that_training_has_yet_to_reach():
    setup = Setup(no_division(N_ROWS), patience=2, max_epochs=5)
    history = setup.train(judge=scripted_judge([0.5, 1, 0.9, 0.8, 0.7, 0.4]))
    assert history.best_epoch == 5


def test_improvement_below_tol_does_not_count():
    setup = Setup(no_division(N_ROWS), patience=2, max_epochs=9, tol=0.1)
    history = setup.train(judge=scripted_judge([1, 0.9, 0.88, 0.87, 0.1]))
    assert history.n_epochs == 3


def test_a_hook_that_returns_true_stops():
    setup = Setup(no_division(N_ROWS))
    history = setup.train(hooks=Recorder(setup, at_epoch=2, act=lambda: True))
    assert history.stopped_by == "callback"
    assert history.n_epochs == 2


def test_losses_are_the_sums_of_the_terms():
    setup = Setup(no_division(N_ROWS))

    def objective(batch):
        return setup.objective(batch) | {"penalty": setup.parameters.tensors[0].square().mean()}

    history = setup.train(objective)
    assert set(history.terms) == {"reconstruction", "penalty"}
    pairs = zip(*history.terms.values(), strict=True)
    assert history.losses == pytest.approx([a + b for a, b in pairs])


def test_every_term_is_minimised():
    setup = Setup(no_division(N_ROWS), max_epochs=60, learning_rate=0.05)
    first = setup.parameters.tensors[0]

    def objective(batch):
        return setup.objective(batch) | {"penalty": first.square().mean() * 10}

    before = float(first.detach().square().mean())
    setup.train(objective)
    assert float(first.detach().square().mean()) < 0.05 * before
