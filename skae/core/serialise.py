"""Fitted state as plain values: dicts, lists, strings, numbers and numpy arrays.

Whoever checks a file before opening it, with a restricted unpickler or with skops, sees all of
these. Nothing in them can name code: networks are built again by the constructors of this package,
and every value is checked as it is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor

FLOATS = (torch.float32, torch.float64)
# The class of NumPy's arrays. The core imports torch alone, which brings it.
Array = type(torch.empty(0).numpy())


def to_plain(value: Any) -> Any:
    """Return a state as plain values, which do not depend on the device.

    Strings and dtypes are copied. Pickle stores a shared object once, so equal models would
    otherwise have different pickles, depending on which objects they share.
    """
    if isinstance(value, Tensor):
        array = value.detach().cpu().contiguous().numpy()
        return array.view(array.dtype.newbyteorder("="))
    if isinstance(value, dict):
        return {to_plain(name): to_plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(part) for part in value]
    if isinstance(value, str):
        return value.encode().decode()
    for kind in (bool, int, float):  # a NumPy scalar may be one, too
        if isinstance(value, kind):
            return kind(value)
    if value is not None:
        raise TypeError(f"A fitted model cannot save a {type(value).__name__}: {value!r}.")
    return None


class StoredState:
    """A stored dict, whose values are checked as they are read.

    Parameters
    ----------
    values : dict of str to plain values
        What `to_plain` returned, or whatever else the file has in its place.
    owner : str
        What the values belong to, for error messages.
    """

    def __init__(self, values: Any, owner: str) -> None:
        self.owner = owner
        if isinstance(values, dict) and "packed" in values:
            raise ValueError(
                f"This {owner} was saved by an earlier version of skae, whose files may run code "
                "when opened. Open it with that version, or fit again."
            )
        if type(values) is not dict or not all(type(name) is str for name in values):
            raise ValueError(f"The stored {owner} must be a dict whose keys are strings.")
        self._values = dict(values)

    def has(self, name: str) -> bool:
        """Return whether there is a value other than None; None counts as read."""
        if name in self._values and self._values[name] is None:
            del self._values[name]
        return name in self._values

    def read(self, name: str, *kinds: type | None) -> Any:
        """Return a value of one of these types; None as a type stands for the value None."""
        if name not in self._values:
            raise ValueError(f"The stored {self.owner} lacks {name!r}.")
        value = self._values.pop(name)
        # A subclass may bring methods of its own.
        if kinds and type(value) not in kinds and not (value is None and None in kinds):
            names = " or ".join("None" if kind is None else kind.__name__ for kind in kinds)
            raise self.error(name, names, value)
        return value

    def read_sizes(self, name: str, length: int | None = None) -> tuple[int, ...]:
        """Return a list of ints of 1 or more as a tuple."""
        sizes = self.read(name, list)
        is_valid = all(type(size) is int and size >= 1 for size in sizes)
        if not is_valid or length not in (None, len(sizes)):
            raise self.error(name, "a list of ints of 1 or more", sizes)
        return tuple(sizes)

    def read_choice(self, name: str, choices: dict[str, Any]) -> str:
        """Return one of the names of the choices."""
        choice: str = self.read(name, str)
        if choice not in choices:
            raise self.error(name, f"one of {sorted(choices)}", choice)
        return choice

    def read_state(self, name: str) -> Self:
        """Return a nested dict."""
        return type(self)(self.read(name), f"{self.owner}.{name}")

    def read_tensor(
        self, name: str, shape: Sequence[int | None], dtypes: Sequence[torch.dtype] = FLOATS
    ) -> Tensor:
        """Return an array of one of these dtypes as a tensor; None in `shape` is any length."""
        array = self.read(name)
        names = [str(dtype).removeprefix("torch.") for dtype in dtypes]
        # joblib may return a memory map, which is an array too.
        is_valid = isinstance(array, Array) and array.dtype.name in names
        if (
            not is_valid
            or array.ndim != len(shape)
            or any(
                wanted not in (None, found)
                for wanted, found in zip(shape, array.shape, strict=True)
            )
        ):
            found = array
            if isinstance(array, Array):
                found = f"a {array.dtype} array of shape {array.shape}"
            wanted = f"a {' or '.join(names)} array of shape {tuple(shape)}"
            raise self.error(name, wanted, found)
        native = array.dtype.newbyteorder("=")
        return torch.from_numpy(array.astype(native, order="C", subok=False, copy=True))

    def check_size(self, n_entries: int) -> None:
        """Check that the arrays have so many entries, before anything is allocated for them."""
        arrays = [value for value in self._values.values() if isinstance(value, Array)]
        if sum(array.size for array in arrays) < n_entries:
            raise ValueError(f"The arrays of the stored {self.owner} are too small for its sizes.")

    def end(self) -> None:
        """Raise a ValueError if anything has not been read."""
        if self._values:
            names = ", ".join(map(repr, sorted(self._values)))
            raise ValueError(f"The stored {self.owner} has unknown entries: {names}.")

    def error(self, name: str, wanted: str, found: object) -> ValueError:
        """Return the error for a value that is not as it should be."""
        text = found if isinstance(found, str) else type(found).__name__
        if isinstance(found, list | int | float | None):
            text = repr(found)
        return ValueError(
            f"{name!r} of the stored {self.owner} must be {wanted}, but it is {text:.100}."
        )
