"""Numerical settings of a fit: threads, precision, denormals and chunk sizes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from decimal import Decimal
from typing import Any

import torch

# For each fit that runs on one thread: its Python thread, and the thread count to restore.
_on_one_thread: list[tuple[int, int]] = []
_lock = threading.Lock()
# Fewer floating-point operations run on one thread. On an idle machine, a second thread saves a
# tenth of such an inference, and a third of such a training step. On a busy one it makes both many
# times as long: OpenMP threads spin at every barrier.
SMALL_STEP = 1e8
_CHUNK_ENTRIES = 2**22


def _memory() -> int:
    """Return the memory of this machine in bytes."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2**40  # unknown, as on Windows


# Training keeps weights, gradients and two moments in float32. More weights than this do not fit,
# and to ask for their memory may end the process rather than raise an error.
MAX_WEIGHTS = _memory() // 16


def too_many_weights(n_weights: int, parameters: str) -> ValueError:
    """Return the error of a network that does not fit into memory."""
    exact = Decimal(n_weights)  # may be beyond the largest float
    return ValueError(
        f"A network with {parameters} has {exact:.3g} weights, and training takes "
        f"{exact / 2**26:.3g} GiB for them; this machine has {MAX_WEIGHTS / 2**26:.3g} GiB. "
        "Lower these numbers."
    )


def chunk_size(most: int, n_columns: int) -> int:
    """Return how many rows to process at once: `most`, or fewer if they are wide."""
    return max(1, min(most, _CHUNK_ENTRIES // n_columns))


def row_slices(n_rows: int, size: int) -> Iterator[slice]:
    """Yield slices of this many rows. scikit-learn's `gen_batches` takes as long as a transform."""
    for start in range(0, n_rows, size):
        yield slice(start, start + size)


def inference_device(device: torch.device) -> torch.device:
    """Return a device with float64 for a network that was trained on `device`."""
    return device if device.type == "cuda" else torch.device("cpu")


def bfloat16_units() -> list[str]:
    """Return the CPU's instruction sets for bfloat16 products, if it has any."""
    # Versions of torch without this query use float32.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return [unit for unit in ("amx_bf16", "avx512_bf16", "bf16") if capabilities.get(unit)]


def has_bfloat16_units(device_type: str) -> bool:
    """Return whether bfloat16 products are faster than float32 products.

    Without hardware support, they are far slower.
    """
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device_type == "cpu" and bool(bfloat16_units())


@contextmanager
def torch_defaults() -> Iterator[None]:
    """Reset the caller's default device, autocast and inference mode, and restore them afterwards.

    The result of a fit is then bit-for-bit the same under any of them. The default dtype is left
    alone, because all threads share it and no tensor here relies on it. Can also be used as a
    decorator.
    """
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        for device_type in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device_type):
                stack.enter_context(torch.autocast(device_type, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield


@contextmanager
def training_numerics(*, operations: float, precision: str, device: torch.device) -> Iterator[None]:
    """Set threads, matmul precision and denormals for a fit, and restore them afterwards.

    Reduced precision uses torch's autocast: operands and results of matrix products are bfloat16.
    The alternative, float32 tensors under `torch.set_float32_matmul_precision("medium")`, gains
    nothing on CPUs without AMX.

    Parameters
    ----------
    operations : float
        Floating-point operations of one training step.
    precision : {"float32", "bfloat16"}
    device : torch.device
    """
    # torch has no getter for this setting. Half of the smallest normal double is denormal.
    smallest = torch.tensor(torch.finfo(torch.float64).tiny, dtype=torch.float64)
    flushed = bool(smallest * 0.5 == 0.0)
    is_small = operations < SMALL_STEP
    # In a small step, conversions take longer than products.
    reduced = precision == "bfloat16" and not is_small and has_bfloat16_units(device.type)
    # Weights change in each step, so there is nothing to cache.
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=reduced, cache_enabled=False)
    try:
        torch.set_flush_denormal(True)
        with threads_for(operations), autocast:
            yield
    finally:
        torch.set_flush_denormal(flushed)


@contextmanager
def threads_for(operations: float, itemsize: int = 4) -> Iterator[None]:
    """Run on one thread if there is little to do, otherwise on all; restore the count afterwards.

    The choice is by size alone, so the same computation always gives the same bits. In nested
    contexts, "all" is the count before the outermost one. The count is restored after an exception,
    too, and even with fits in other Python threads.

    Parameters
    ----------
    operations : float
        Floating-point operations of a training step, or of one pass of the rows through the
        network.
    itemsize : int
        Bytes of a number. Operations in float64 count twice.
    """
    process, here = os.getpid(), threading.get_ident()
    one = operations * itemsize < 4 * SMALL_STEP  # integers may be too large for a float
    with _lock:
        before = torch.get_num_threads()
        own = [count for thread, count in _on_one_thread if thread == here]
        if before == 1 and not own:
            # A new thread inherits 1 from another's fit.
            before = max((count for _, count in _on_one_thread), default=1)
        torch.set_num_threads(1 if one else max(own, default=before))
        if one:
            _on_one_thread.append((here, before))
    try:
        yield
    finally:
        with _lock:
            if os.getpid() == process:  # otherwise, forked within this fit: one thread from then on
                torch.set_num_threads(before)
                if one:
                    _on_one_thread.remove((here, before))


def on_python_threads(calls: Sequence[Callable[[], Any]], n_threads: int) -> list[Any]:
    """Return the results of independent calls; each runs on a Python thread with one torch thread.

    These threads wait for one another only at the end, not at each of torch's barriers.
    """
    pool = ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,))
    with threads_for(0), pool:
        results = list(calls)
        with suppress(RuntimeError):  # no thread can start while the interpreter shuts down
            results = [pool.submit(call).result for call in calls]
        return [result() for result in results]


def _use_one_thread_after_fork() -> None:
    """Set up a forked process, which does not inherit the threads of torch's pool.

    Its first computation on several threads would wait for them forever, in torch as in skae. It
    may do so whoever filled the pool, so this does not depend on what skae did before.
    """
    global _lock
    torch.set_num_threads(1)
    _lock = threading.Lock()  # another thread may have held it
    _on_one_thread.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_use_one_thread_after_fork)
