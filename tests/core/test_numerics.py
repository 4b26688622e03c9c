from __future__ import annotations

import threading

import pytest
import torch

from skae.core.numerics import training_numerics

SMALL, LARGE = 1e3, 1e15


def flushed() -> bool:
    smallest = torch.tensor(torch.finfo(torch.float32).tiny)
    return bool(smallest * 0.5 == 0)


def numerics():
    return torch.get_num_threads(), flushed(), torch.is_autocast_enabled("cpu")


def numerics_of_training(**changes):
    settings = {"operations": SMALL, "precision": "float32", "device": torch.device("cpu")}
    return training_numerics(**settings | changes)


@pytest.fixture(params=[False, True], ids=["denormals_kept", "denormals_flushed"])
def unusual_numerics(request):
    before = numerics()
    torch.set_num_threads(2)
    torch.set_flush_denormal(request.param)
    yield numerics()
    torch.set_num_threads(before[0])
    torch.set_flush_denormal(before[1])


@pytest.fixture
def units(monkeypatch):
    monkeypatch.setattr("skae.core.numerics.has_bfloat16_units", lambda device_type: True)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("operations", [SMALL, LARGE])
def test_everything_is_put_back(unusual_numerics, units, precision, operations):
    with numerics_of_training(operations=operations, precision=precision):
        pass
    assert numerics() == unusual_numerics


def test_everything_is_put_back_after_an_exception(unusual_numerics, units):
    with (
        pytest.raises(ZeroDivisionError),
        numerics_of_training(operations=LARGE, precision="bfloat16"),
    ):
        raise ZeroDivisionError
    assert numerics() == unusual_numerics


def test_small_steps_get_one_thread_and_large_ones_all(unusual_numerics):
    with numerics_of_training(operations=SMALL):
        assert torch.get_num_threads() == 1
    with numerics_of_training(operations=LARGE):
        assert torch.get_num_threads() == 2


def product_type():
    return torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype


def test_bfloat16_reduces_the_products_of_large_steps_inside(units):
    with numerics_of_training(operations=LARGE, precision="bfloat16"):
        assert product_type() is torch.bfloat16
    for changes in ({"precision": "bfloat16"}, {"operations": LARGE}):
        with numerics_of_training(**changes):
            assert product_type() is torch.float32
    assert product_type() is torch.float32


def test_bfloat16_changes_nothing_without_units_for_it(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "amx_bf16": False})
    with numerics_of_training(operations=LARGE, precision="bfloat16"):
        assert product_type() is torch.float32


def test_float32_means_float32_within_autocast_of_the_caller(units):
    with (
        torch.autocast("cpu", torch.bfloat16),
        numerics_of_training(operations=LARGE, precision="float32"),
    ):
        assert product_type() is torch.float32


def test_denormals_are_flushed_inside():
    with numerics_of_training():
        assert flushed()


def test_fits_that_overlap_in_threads_leave_the_number_of_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))
    seen = []

    def first():
        with numerics_of_training():
            first_is_in.set()
            second_is_in.wait(10)
        first_is_out.set()

    def second():
        first_is_in.wait(10)
        with numerics_of_training():
            second_is_in.set()
            first_is_out.wait(10)

    def afterwards():
        seen.append(torch.get_num_threads())

    try:
        for part in ([first, second], [afterwards]):
            threads = [threading.Thread(target=target) for target in part]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert seen == [3]
    finally:
        torch.set_num_threads(before)


def test_a_fit_within_a_fit_leaves_the_outer_one_its_thread(unusual_numerics):
    with numerics_of_training():
        with numerics_of_training():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == unusual_numerics[0]
