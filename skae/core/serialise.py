"""Pickles of fitted state that are equal for equal models and independent of the device."""

from __future__ import annotations

import io

import torch

from skae.core.numerics import torch_defaults


def serialise(state: dict[str, object]) -> dict[str, bytes]:
    """Serialise a state to bytes that do not depend on memory addresses or the device.

    The usual pickle of a tensor identifies its storage by an address. Two pickles of one model
    would therefore differ, and caches (joblib's, a `Pipeline`'s) would miss.
    """
    # A pickle distinguishes equal strings from identical ones. Loading makes equal strings
    # identical, so a state that has been loaded once pickles to the same bytes from then on.
    return _saved(deserialise(_saved(state)))


def _saved(state: dict[str, object]) -> dict[str, bytes]:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return {"packed": buffer.getvalue()}


def deserialise(stored: dict[str, bytes]) -> dict[str, object]:
    """Return the state that was passed to `packed`."""
    with torch_defaults():
        # As with any pickle, loading may execute code.
        state: dict[str, object] = torch.load(
            io.BytesIO(stored["packed"]), map_location="cpu", weights_only=False
        )
    return state
