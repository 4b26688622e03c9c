"""Figures are drawn without a screen, and closed after each test."""

from __future__ import annotations

import os
import sys
from itertools import combinations

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(scope="session")
def overlaps():
    """Return a function that finds the texts of a figure that overlap or leave it."""
    return _overlaps


def _overlaps(figure):
    figure.draw_without_rendering()
    boxes = []
    for axes in figure.axes:
        texts = list(axes.texts)
        if axes.axison:
            texts += [axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label]
            for number, axis in enumerate((axes.xaxis, axes.yaxis)):
                low, high = sorted(axis.get_view_interval())
                labels = axis.get_majorticklabels()
                texts += [text for text in labels if low <= text.get_position()[number] <= high]
        if axes.get_legend():
            texts += axes.get_legend().get_texts()
        boxes += [
            (text.get_text(), text.get_window_extent())
            for text in texts
            if text.get_visible() and text.get_text().strip()
        ]
    found = [
        (first, second)
        for (first, one), (second, other) in combinations(boxes, 2)
        if min(one.x1, other.x1) - max(one.x0, other.x0) > 1
        and min(one.y1, other.y1) - max(one.y0, other.y0) > 1
    ]
    width, height = figure.bbox.size
    outside = [
        name
        for name, box in boxes
        if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1
    ]
    return found + outside
