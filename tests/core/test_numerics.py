from __future__ import annotations

import pytest
import torch

from skae._core.numerics import training_numerics

SMALL, LARGE = 1e3, 1e15


def flushed() -> bool:
    smallest = torch.tensor(torch.finfo(torch.float32).tiny)
    return bool(smallest * 0.5 == 0)


def numerics():
    return torch.get_num_threads(), torch.get_float32_matmul_precision(), flushed()


@pytest.fixture(params=[False, True], ids=["denormals_kept", "denormals_flushed"])
def unusual_numerics(request):
    before = numerics()
    torch.set_num_threads(2)
    torch.set_float32_matmul_precision("high")
    torch.set_flush_denormal(request.param)
    yield numerics()
    torch.set_num_threads(before[0])
    torch.set_float32_matmul_precision(before[1])
    torch.set_flush_denormal(before[2])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("operations", [SMALL, LARGE])
def test_everything_is_put_back(unusual_numerics, precision, operations):
    with training_numerics(operations=operations, precision=precision):
        pass
    assert numerics() == unusual_numerics


def test_everything_is_put_back_after_an_exception(unusual_numerics):
    with (
        pytest.raises(ZeroDivisionError),
        training_numerics(operations=SMALL, precision="bfloat16"),
    ):
        raise ZeroDivisionError
    assert numerics() == unusual_numerics


def test_small_steps_get_one_thread_and_large_ones_all(unusual_numerics):
    with training_numerics(operations=SMALL, precision="float32"):
        assert torch.get_num_threads() == 1
    with training_numerics(operations=LARGE, precision="float32"):
        assert torch.get_num_threads() == 2


def test_bfloat16_lowers_the_precision_of_products_only_inside(unusual_numerics):
    with training_numerics(operations=SMALL, precision="bfloat16"):
        assert torch.get_float32_matmul_precision() == "medium"
    with training_numerics(operations=SMALL, precision="float32"):
        assert torch.get_float32_matmul_precision() == "high"


def test_denormals_are_flushed_inside():
    with training_numerics(operations=SMALL, precision="float32"):
        assert flushed()
