"""The numerical settings of a fit, and how they are put back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

# Of the fits that now run on one thread: the Python thread, and the thread count to put back.
_on_one_thread: list[tuple[int, int]] = []
_lock = threading.Lock()
# A step below this many floating-point operations gains nothing from threads, and loses much
# when another process keeps a core busy: OpenMP threads spin at every barrier.
_SMALL_STEP = 8e7


def resting_place(device: torch.device) -> torch.device:
    """Return where a network stays that was trained on this device: it encodes float64, too."""
    return device if device.type == "cuda" else torch.device("cpu")


def bfloat16_units() -> list[str]:
    """List the CPU's units for products of bfloat16; empty where it has none."""
    # Versions of torch that cannot tell get float32.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return [unit for unit in ("amx_bf16", "avx512_bf16", "bf16") if capabilities.get(unit)]


def has_bfloat16_units(device_type: str) -> bool:
    """Whether products of bfloat16 are faster than those of float32; elsewhere far slower."""
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device_type == "cpu" and bool(bfloat16_units())


def _denormals_are_flushed() -> bool:
    # torch has no getter. Half of the smallest normal double is denormal.
    smallest = torch.tensor(torch.finfo(torch.float64).tiny, dtype=torch.float64)
    return bool(smallest * 0.5 == 0.0)


@contextmanager
def defaults_of_torch() -> Iterator[None]:
    """Set aside what the caller has told torch to do by default; put it back on the way out.

    A fit is then the same, to the last bit, under another default device, autocast or inference
    mode. (The default precision belongs to all threads, so it is left alone; no tensor here relies
    on it.) It also serves as a decorator.
    """
    with ExitStack() as aside:
        if torch.is_inference_mode_enabled():
            aside.enter_context(torch.inference_mode(False))
        for device_type in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device_type):
                aside.enter_context(torch.autocast(device_type, enabled=False))
        if torch.get_default_device().type != "cpu":
            aside.enter_context(torch.device("cpu"))
        yield


@contextmanager
def training_numerics(*, operations: float, precision: str, device: torch.device) -> Iterator[None]:
    """Set threads, product precision and denormals for a fit; restore them on the way out.

    Reduced precision is torch's autocast: operands and results of products are bfloat16. Float32
    tensors under `torch.set_float32_matmul_precision("medium")` gain nothing on CPUs without AMX.

    Parameters
    ----------
    operations : float
        Floating-point operations of one training step.
    precision : {"float32", "bfloat16"}
    device : torch.device
    """
    flushed = _denormals_are_flushed()
    is_small = operations < _SMALL_STEP
    # In a small step, conversions take longer than products.
    reduced = precision == "bfloat16" and not is_small and has_bfloat16_units(device.type)
    # Weights change in each step, so there is nothing to cache.
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=reduced, cache_enabled=False)
    try:
        torch.set_flush_denormal(True)
        with _threads(one=is_small), autocast:
            yield
    finally:
        torch.set_flush_denormal(flushed)


@contextmanager
def _threads(*, one: bool) -> Iterator[None]:
    """Run on one thread or on all; put the number back, also among other fits in threads."""
    here = threading.get_ident()
    with _lock:
        before = torch.get_num_threads()
        others = [count for thread, count in _on_one_thread if thread != here]
        if before == 1 and len(others) == len(_on_one_thread):
            before = max(others, default=1)  # a new thread begins with the 1 of another's fit
        torch.set_num_threads(1 if one else before)
        if one:
            _on_one_thread.append((here, before))
    try:
        yield
    finally:
        with _lock:
            torch.set_num_threads(before)
            if one:
                _on_one_thread.remove((here, before))
