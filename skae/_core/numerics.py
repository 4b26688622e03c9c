"""The numerical settings of a fit, and how they are put back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

# A step below this many floating-point operations gains nothing from threads, and loses much
# when another process keeps a core busy: OpenMP threads spin at every barrier.
_SMALL_STEP = 8e7


def resting_place(device: torch.device) -> torch.device:
    """Return where a network stays that was trained on this device: it encodes float64, too."""
    return device if device.type == "cuda" else torch.device("cpu")


def _denormals_are_flushed() -> bool:
    # torch has no getter. Half of the smallest normal double is denormal.
    smallest = torch.tensor(torch.finfo(torch.float64).tiny, dtype=torch.float64)
    return bool(smallest * 0.5 == 0.0)


@contextmanager
def training_numerics(*, operations: float, precision: str) -> Iterator[None]:
    """Set threads, product precision and denormals for a fit; restore them on the way out.

    Parameters
    ----------
    operations : float
        Floating-point operations of one training step.
    precision : {"float32", "bfloat16"}
    """
    threads = torch.get_num_threads()
    matmul_precision = torch.get_float32_matmul_precision()
    flushed = _denormals_are_flushed()
    try:
        if operations < _SMALL_STEP:
            torch.set_num_threads(1)
        if precision == "bfloat16":
            torch.set_float32_matmul_precision("medium")
        torch.set_flush_denormal(True)
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(matmul_precision)
        torch.set_flush_denormal(flushed)
