"""The choice of held-out rows with classes: each class has its share of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from torch import Tensor

from skae.fitting.duplicates import in_order_of_appearance
from skae.fitting.split import MIN_ROWS, Split, no_split, single_split
from skae.utils.warnings import warn

# Groups, which differ in size and may mix classes, are drawn this many times, and the draw in which
# the held-out shares of the classes are most even is used.
_N_DRAWS = 20


def stratified_split(
    labels: Tensor,
    fraction: float,
    generator: torch.Generator,
    groups: NDArray[np.int64] | None = None,
) -> Split:
    """Hold out this share of the rows of each class, but never all rows of a class.

    With groups, this share of the groups is held out, each as a whole. They are stratified by their
    most frequent class. `StratifiedGroupKFold` evens out the classes in another way, but may hold
    out all rows of a class.

    Parameters
    ----------
    labels : Tensor of shape (n_rows,)
    fraction : float
    generator : torch.Generator
    groups : ndarray of int of shape (n_rows,), or None
    """
    n_rows, n_draws = len(labels), 1
    counts: Any = None
    classes = labels
    if groups is not None:
        groups = in_order_of_appearance(groups)
        ones = np.ones(n_rows, dtype=np.int64)
        numbers = np.unique(labels.numpy(), return_inverse=True)[1]
        counts = coo_array((ones, (groups, numbers))).tocsc()  # of groups and classes
        counts.sum_duplicates()
        classes = torch.from_numpy(np.asarray(counts.argmax(axis=1)).ravel())
        # Groups of one row are stratified like rows.
        n_draws = 1 if counts.shape[0] == n_rows else _N_DRAWS
    n_held_out = max(1, round(fraction * len(classes))) if n_rows >= MIN_ROWS else 0
    best, least = None, np.inf
    for _ in range(n_draws):
        drawn = _draw(classes, n_held_out, generator, counts)
        if drawn is None:
            return no_split(n_rows)
        unevenness = 0.0
        if counts is not None:
            shares = (drawn.numpy() @ counts) / counts.sum(axis=0)
            unevenness = float(np.square(shares - fraction).sum())
        if unevenness < least:
            best, least = drawn, unevenness
    assert best is not None
    is_held_out = best if groups is None else best[torch.from_numpy(groups)]
    return single_split(*(part.nonzero()[:, 0] for part in (is_held_out, ~is_held_out)))


def warn_of_absent_classes(known: Tensor, training: Tensor, classes: NDArray[Any]) -> None:
    """Warn of classes that a splitter of the user leaves no rows of to train on.

    Parameters
    ----------
    known : Tensor of shape (n_rows, 2)
        Numbers of the classes, and weights.
    training : Tensor of int
        The rows to train on.
    classes : ndarray of shape (n_classes,)
    """
    present, trained = (
        set(rows[rows[:, 1] > 0, 0].long().tolist()) for rows in (known, known[training])
    )
    absent = classes[sorted(present - trained)].tolist()
    if absent:
        warn(
            f"The split of validation_fraction leaves no row of {absent} to train on, so these "
            "classes cannot be learned. Pass a splitter that keeps rows of each class, such as "
            "StratifiedKFold or KFold(shuffle=True), or the share of rows to hold out.",
            UserWarning,
        )


def _draw(
    classes: Tensor, n_held_out: int, generator: torch.Generator, counts: Any
) -> Tensor | None:
    """Return a mask of the units to hold out, evenly spaced among those sorted by class.

    None if there are none to hold out. `counts` has the rows of each class in each unit; None if
    each unit is a row.
    """
    order = torch.randperm(len(classes), generator=generator)
    order = order[classes[order].argsort(stable=True)]
    if counts is None:
        is_needed = torch.ones(len(order), dtype=torch.bool)
        is_needed[1:] = classes[order].diff() != 0
    else:
        is_needed = torch.from_numpy(_needed_groups(counts[order.numpy()].tocsc()))
    candidates = order[~is_needed]
    n_held_out = min(n_held_out, len(candidates))
    if not n_held_out:
        return None
    start = torch.rand((), generator=generator, dtype=torch.float64)
    places = (torch.arange(n_held_out) + start) * (len(candidates) / n_held_out)
    is_held_out = torch.zeros(len(order), dtype=torch.bool)
    is_held_out[candidates[places.long().clamp_max(len(candidates) - 1)]] = True
    return is_held_out


def _needed_groups(counts: Any) -> NDArray[np.bool_]:
    """Return a mask of groups that must not be held out, which together have all classes.

    Classes are visited in the order of their numbers of groups, the rarest first. If no group
    chosen so far has the class, its first group is chosen. For example, let groups 0, 1 and 2 have
    the classes a, a and b, and a. Class b is in group 1 alone, which is chosen and has class a,
    too. So groups 0 and 2 may be held out.

    All groups are chosen only if each is the only one of a class: the class for which the last one
    is chosen is in none of the others, hence in one group alone, and so are the rarer classes.
    """
    is_needed = np.zeros(counts.shape[0], dtype=bool)
    for number in np.diff(counts.indptr).argsort(kind="stable"):
        members = counts.indices[counts.indptr[number] : counts.indptr[number + 1]]
        if not is_needed[members].any():
            is_needed[members.min()] = True
    return is_needed
