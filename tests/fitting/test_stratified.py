"""Held-out rows and groups of each class."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skae.fitting.stratified import stratified_split


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_stratified_split_holds_out_of_each_class_alike():
    labels = torch.arange(1000) % 4
    split = stratified_split(labels, 0.1, seeded())
    assert labels[split.held_out[0]].bincount().tolist() == [25, 25, 25, 25]
    assert sorted([*split.held_out[0].tolist(), *split.training[0].tolist()]) == [*range(1000)]
    assert not torch.equal(stratified_split(labels, 0.1, seeded(1)).held_out, split.held_out)


def test_a_stratified_split_leaves_a_row_of_each_class_to_train():
    labels = torch.tensor([0] * 30 + [1, 1, 2])
    for seed in range(30):
        split = stratified_split(labels, 0.1, seeded(seed))
        assert split.held_out.shape == (1, 3)
        assert labels[split.training[0]].unique().tolist() == [0, 1, 2]
    assert stratified_split(torch.arange(20), 0.1, seeded()).held_out is None
    assert stratified_split(labels[:9], 0.1, seeded()).held_out is None


def test_groups_of_one_row_are_stratified_like_rows():
    labels = torch.from_numpy(np.random.default_rng(0).integers(4, size=200))
    for seed in range(10):
        expected = stratified_split(labels, 0.1, seeded(seed))
        split = stratified_split(labels, 0.1, seeded(seed), np.arange(200)[::-1])
        assert torch.equal(split.held_out, expected.held_out)
        assert torch.equal(split.training[0], expected.training[0])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 5), st.floats(0.05, 0.95))
def test_groups_stay_whole_and_each_class_has_rows_to_train(seed, n_groups, n_classes, fraction):
    rng = np.random.default_rng(seed)
    n_rows = int(rng.integers(10, 30))
    groups, labels = rng.integers(n_groups, size=n_rows), rng.integers(n_classes, size=n_rows)
    generator = seeded(seed % 2**31)
    split = stratified_split(torch.from_numpy(labels), fraction, generator, groups)
    # A group may be held out if the others have all classes.
    classes = set(labels)
    may_be_held_out = [set(labels[groups != group]) == classes for group in np.unique(groups)]
    assert (split.held_out is not None) is any(may_be_held_out)
    if split.held_out is not None:
        held_out, training = split.held_out[0].numpy(), split.training[0].numpy()
        assert sorted([*held_out, *training]) == [*range(n_rows)]
        assert set(groups[held_out]).isdisjoint(groups[training])
        assert set(labels[training]) == classes


def test_groups_are_held_out_of_each_class_alike():
    # Of 40 groups of 10 rows, half have class 0 and half class 1; each has one row of class 2.
    groups = np.repeat(np.arange(40), 10)
    labels = torch.from_numpy(np.where(np.arange(400) % 10 == 0, 2, groups % 2))
    for seed in range(10):
        split = stratified_split(labels, 0.1, seeded(seed), groups)
        assert labels[split.held_out[0]].bincount().tolist() == [18, 18, 4]


def test_a_class_in_few_of_the_groups_is_held_out_with_its_share():
    # Class 1 is never the most frequent; its rows are in 8 of the 40 groups.
    groups = np.repeat(np.arange(40), 10)
    labels = torch.from_numpy(((groups % 5 == 0) & (np.arange(400) % 10 < 4)).astype(int))
    for seed in range(10):
        split = stratified_split(labels, 0.25, seeded(seed), groups)
        assert labels[split.held_out[0]].bincount().tolist() == [92, 8]
