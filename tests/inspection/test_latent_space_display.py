"""What `LatentSpaceDisplay` draws are the codes of X and what they decode to."""

from __future__ import annotations

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import Autoencoder, AutoencoderClassifier, ConvolutionalAutoencoder
from skae.inspection import activations
from skae.inspection.displays import LatentSpaceDisplay
from skae.inspection.displays.style import COLOURS, FRAME

X, Y = (part[:400] for part in load_digits(return_X_y=True))
SMALL = {"hidden_layer_sizes": (32,), "max_iter": 4, "random_state": 0}


@pytest.fixture(scope="module")
def fitted():
    return Autoencoder(3, **SMALL).fit(X)


def colours_by_row(display, codes):
    """Return the drawn colour of each row of the codes."""
    offsets = np.asarray(display.scatter_.get_offsets())
    drawn, wanted = (np.lexsort(points.T) for points in (offsets, codes))
    np.testing.assert_array_equal(offsets[drawn], codes[wanted])
    colours = np.empty(len(codes), dtype=object)
    faces = np.resize(display.scatter_.get_facecolors(), (len(codes), 4))
    colours[wanted] = [to_hex(faces[number]).upper() for number in drawn]
    return colours


def by_row(display, values):
    """Return the values of points by their codes."""
    return dict(zip(map(tuple, display.scatter_.get_offsets()), values, strict=True))


def blobs(n_classes, distance=10.0):
    """Return a cluster of codes for each class, and the classes."""
    y = np.repeat(np.arange(n_classes), 20)
    angle = 2 * np.pi * y / n_classes
    noise = np.random.default_rng(0).normal(size=(len(y), 2))
    return distance * np.c_[np.cos(angle), np.sin(angle)] + noise, y


# -- the map ------------------------------------------------------------------------------------


@pytest.mark.parametrize("components", [(0, 1), (2, 0)])
def test_the_points_are_two_columns_of_the_code(fitted, components):
    display = LatentSpaceDisplay.from_estimator(fitted, X, Y, components=components)
    codes = fitted.transform(X)[:, components]
    expected = [COLOURS[label].upper() for label in Y]
    np.testing.assert_array_equal(colours_by_row(display, codes), expected)
    for name, axis, component in zip(
        display.component_names, (display.ax_.xaxis, display.ax_.yaxis), components, strict=True
    ):
        share = fitted.explained_variance_ratio_[component]
        assert name == f"component {component} ({share:.0%} of variance)"
        assert axis.get_label_text() == name


def test_without_labels_all_rows_look_alike(fitted):
    display = LatentSpaceDisplay.from_estimator(fitted, X)
    assert set(colours_by_row(display, display.codes)) == {COLOURS[0].upper()}
    assert display.legend_ is None
    assert display.colorbar_ is None


def test_a_pipeline_encodes_what_its_last_step_sees():
    pipeline = make_pipeline(StandardScaler(), Autoencoder(2, **SMALL)).fit(X)
    display = LatentSpaceDisplay.from_estimator(pipeline, X)
    np.testing.assert_array_equal(display.codes, pipeline.transform(X))


def test_of_a_classifier_the_code_is_that_of_its_own_encoder():
    fitted = AutoencoderClassifier(Autoencoder(2, **SMALL), max_iter=3, random_state=0).fit(X, Y)
    display = LatentSpaceDisplay.from_estimator(fitted, X, Y)
    np.testing.assert_array_equal(display.codes, activations(fitted, X))
    assert display.component_names == ("component 0", "component 1")


def test_axes_have_one_unit_unless_the_code_is_elongated(rng):
    codes = rng.normal(size=(100, 2))
    assert LatentSpaceDisplay(codes).plot().ax_.get_aspect() == 1.0
    assert LatentSpaceDisplay(codes * [10, 1]).plot().ax_.get_aspect() == "auto"
    assert LatentSpaceDisplay(codes * [0, 1]).plot().ax_.get_aspect() == "auto"


def test_keywords_reach_the_scatter():
    _, ax = plt.subplots()
    display = LatentSpaceDisplay(blobs(3)[0]).plot(ax, s=50, color="red")
    assert display.ax_ is ax
    assert display.scatter_.get_sizes() == [50]
    assert set(colours_by_row(display, display.codes)) == {"#FF0000"}


@pytest.mark.parametrize(("marker", "width"), [("x", 0.5), ("+", 0.5), ("o", 0), (None, 0)])
def test_markers_made_of_lines_keep_them(marker, width):
    display = LatentSpaceDisplay(blobs(3)[0]).plot(marker=marker)
    assert (display.scatter_.get_linewidths() >= width).all()
    assert (width > 0) == (display.scatter_.get_linewidths() > 0).all()


def test_outlines_that_are_asked_for_are_drawn():
    display = LatentSpaceDisplay(blobs(3)[0]).plot(facecolors="none", edgecolors="red")
    assert (display.scatter_.get_linewidths() > 0).all()


def test_keywords_with_a_value_for_each_row_are_in_their_order():
    codes, y = blobs(3)
    values = np.arange(60.0)
    display = LatentSpaceDisplay(codes).plot(c=values)
    np.testing.assert_array_equal(display.scatter_.get_offsets(), codes)
    np.testing.assert_array_equal(display.scatter_.get_array(), values)
    display = LatentSpaceDisplay(codes, y=y).plot(s=values)
    drawn = by_row(display, display.scatter_.get_sizes())
    np.testing.assert_array_equal([drawn[tuple(code)] for code in codes], values)
    with pytest.raises(ValueError, match=r"c \(or color\) and y both say"):
        LatentSpaceDisplay(codes, y=y).plot(c=values)


def test_huge_codes_are_drawn():
    codes = blobs(3)[0].astype(np.float32) * np.float32(1e30)
    display = LatentSpaceDisplay(codes, y=np.repeat([0, 1, 2], 20)).plot()
    np.testing.assert_array_equal(colours_by_row(display, codes) == COLOURS[0], np.arange(60) < 20)


# -- labels and values --------------------------------------------------------------------------


def test_classes_are_named_where_their_rows_are():
    codes, y = blobs(5)
    names = np.array(["ash", "beech", "elm", "oak", "pine"])
    display = LatentSpaceDisplay(codes, y=names[y]).plot()
    assert display.legend_ is None
    assert [text.get_text() for text in display.labels_] == list(names)
    for number, text in enumerate(display.labels_):
        distances = np.linalg.norm(codes - text.get_position(), axis=1)
        assert y[distances.argmin()] == number


def test_where_names_would_overlap_there_is_a_legend_beside_the_map():
    codes, y = blobs(5, distance=0.1)
    names = np.array([f"name of class {label}" for label in range(5)])
    display = LatentSpaceDisplay(codes, y=names[y]).plot()
    assert display.labels_ == []
    assert display.ax_.texts[:] == []
    entries = zip(display.legend_.get_texts(), display.legend_.legend_handles, strict=True)
    assert {text.get_text(): handle.get_color() for text, handle in entries} == {
        names[label]: COLOURS[label] for label in range(5)
    }
    display.figure_.draw_without_rendering()
    assert display.legend_.get_window_extent().x0 >= display.ax_.get_window_extent().x1
    assert display.legend_.get_window_extent().x1 <= display.figure_.bbox.x1


def test_names_of_many_classes_do_not_overlap(fitted):
    display = LatentSpaceDisplay.from_estimator(fitted, X, Y)
    display.figure_.draw_without_rendering()
    boxes = [text.get_window_extent() for text in display.labels_]
    assert len(boxes) in (0, 10)
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_of_too_many_classes_the_most_frequent_have_a_colour():
    codes, y = blobs(12)
    kept = ~np.isin(y, [3, 7, 9]) | (np.arange(len(y)) % 2 == 0)
    codes, y = codes[kept], y[kept]
    names = np.array([f"class {number:02}" for number in range(12)])
    display = LatentSpaceDisplay(codes, y=names[y]).plot()
    shown = [number for number in range(12) if number not in (3, 7, 9)]
    entries = [text.get_text() for text in display.legend_.get_texts()]
    assert entries == [*names[shown], "3 others"]
    colours = dict(zip(shown, COLOURS, strict=False))
    expected = [colours.get(label, FRAME).upper() for label in y]
    assert list(colours_by_row(display, codes)) == expected


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_rows_without_a_label_are_grey(missing):
    codes, y = blobs(4)
    labels = y.astype(object)
    labels[::3] = missing
    display = LatentSpaceDisplay(codes, y=labels).plot()
    colours = colours_by_row(display, codes)
    assert set(colours[::3]) == {FRAME.upper()}
    known = np.arange(len(y)) % 3 > 0
    assert list(colours[known]) == [COLOURS[label].upper() for label in y[known]]
    assert [text.get_text() for text in display.legend_.get_texts()] == [*"0123", "no label"]


def test_values_have_a_colour_bar(rng):
    codes = rng.normal(size=(50, 2))
    values = pd.Series(rng.normal(size=50), name="alcohol")
    display = LatentSpaceDisplay(codes, y=values).plot()
    offsets = np.asarray(display.scatter_.get_offsets())
    drawn = dict(zip(map(tuple, offsets), display.scatter_.get_array(), strict=True))
    np.testing.assert_array_equal([drawn[tuple(code)] for code in codes], values)
    assert display.colorbar_.ax.get_ylabel() == "alcohol"
    assert display.legend_ is None


def test_categories_keep_their_order():
    codes, y = blobs(3)
    levels = pd.Series(np.array(["high", "low", "mid"])[y]).astype(
        pd.CategoricalDtype(["low", "unseen", "mid", "high"])
    )
    levels[0] = None
    display = LatentSpaceDisplay(codes, y=levels).plot()
    texts = [text.get_text() for text in display.legend_.get_texts()]
    assert texts == ["low", "mid", "high", "no label"]
    expected = {"low": COLOURS[0], "mid": COLOURS[1], "high": COLOURS[2]}
    colours = colours_by_row(display, codes)
    assert list(colours[1:]) == [expected[level].upper() for level in levels[1:]]
    assert colours[0] == FRAME.upper()


@pytest.mark.parametrize("time_zone", [None, "UTC"])
def test_dates_are_values(time_zone):
    codes = blobs(3)[0]
    days = pd.Series(pd.date_range("2024-01-01", periods=60, tz=time_zone), name="day")
    days[5] = None
    display = LatentSpaceDisplay(codes, y=days).plot()
    display.figure_.draw_without_rendering()
    drawn = by_row(display, display.scatter_.get_array())
    numbers = np.array([drawn[tuple(code)] for code in np.delete(codes, 5, axis=0)])
    np.testing.assert_array_equal(numbers - numbers[0], np.delete(np.arange(60), 5))
    assert display.colorbar_.ax.get_ylabel() == "day"
    ticks = [text.get_text() for text in display.colorbar_.ax.get_yticklabels()]
    assert "Feb" in ticks


@pytest.mark.parametrize(
    ("y", "is_value"),
    [
        (np.arange(20) % 10, False),
        (np.arange(20) % 11, True),
        (np.arange(20) % 2 == 0, False),
        (np.arange(20) % 2 + 0.5, True),
        (np.arange(20).astype(str), False),
    ],
)
def test_few_whole_numbers_are_classes_and_other_numbers_values(rng, y, is_value):
    display = LatentSpaceDisplay(rng.normal(size=(20, 2)), y=y).plot()
    assert (display.colorbar_ is not None) == is_value


# -- the grid -----------------------------------------------------------------------------------


def test_the_grid_decodes_two_columns_with_the_others_at_their_mean(fitted):
    display = LatentSpaceDisplay.from_estimator(
        fitted, X, components=(2, 0), grid=4, image_shape=(8, 8)
    )
    codes = fitted.transform(X)
    assert display.images.shape == (4, 4, 1, 8, 8)
    for column, values in zip((2, 0), display.grid, strict=True):
        np.testing.assert_allclose(
            values, np.linspace(*np.percentile(codes[:, column], [2, 98]), 4)
        )
    code = codes.mean(axis=0)
    code[[2, 0]] = display.grid[0][1], display.grid[1][3]
    np.testing.assert_allclose(
        display.images[3, 1, 0].ravel(), fitted.inverse_transform([code])[0], rtol=1e-5, atol=1e-6
    )


def test_each_image_is_drawn_at_its_code(fitted):
    display = LatentSpaceDisplay.from_estimator(fitted, X, grid=5, image_shape=(8, 8))
    picture = display.image_.get_array()
    left, right, low, high = display.image_.get_extent()
    rows, columns = picture.shape
    for i, j in ((0, 0), (1, 3), (4, 2)):
        x = (display.grid[0][j] - left) / (right - left) * columns
        y = (high - display.grid[1][i]) / (high - low) * rows
        top, start = round(y - 4), round(x - 4)
        assert (top, start) == pytest.approx((y - 4, x - 4))
        np.testing.assert_array_equal(
            picture[top : top + 8, start : start + 8], display.images[i, j, 0]
        )
    gaps = np.ma.getmaskarray(picture)
    assert gaps.sum() == rows * columns - 25 * 64
    assert display.image_.get_clim() == (X.min(), X.max())


def test_images_of_a_pipeline_are_in_the_units_of_x():
    pipeline = make_pipeline(StandardScaler(), Autoencoder(2, **SMALL)).fit(X)
    display = LatentSpaceDisplay.from_estimator(pipeline, X, grid=2, image_shape=(8, 8))
    corner = [[display.grid[0][0], display.grid[1][0]]]
    expected = pipeline.inverse_transform(corner).reshape(8, 8)
    np.testing.assert_allclose(display.images[0, 0, 0], expected, rtol=1e-5, atol=1e-5)


def test_images_of_a_convolutional_autoencoder_need_no_shape():
    images = np.random.default_rng(0).random((60, 6, 8, 3))
    fitted = ConvolutionalAutoencoder(2, channels=(4,), max_iter=1, random_state=0).fit(images)
    display = LatentSpaceDisplay.from_estimator(fitted, images, grid=2)
    corner = [[display.grid[0][1], display.grid[1][0]]]
    decoded = fitted.inverse_transform(corner).reshape(6, 8, 3)
    np.testing.assert_allclose(display.images[0, 1].transpose(1, 2, 0), decoded, rtol=1e-5)
    picture = display.image_.get_array()
    scaled = (decoded - images.min()) / (images.max() - images.min())
    np.testing.assert_allclose(picture[-6:, -8:], scaled.clip(0, 1), rtol=1e-5)


def test_a_grid_replaces_the_axes_it_is_given(fitted):
    figure, axes = plt.subplots(1, 2)
    display = LatentSpaceDisplay.from_estimator(fitted, X, grid=3, image_shape=(8, 8), ax=axes[0])
    assert display.figure_ is figure
    assert len(display.axes_) == 2
    assert not axes[0].axison


@pytest.mark.parametrize(("y", "layout"), [(Y, None), (Y, "constrained"), (X[:, 20] / 3, None)])
def test_the_map_fills_small_axes_beside_a_grid(fitted, y, layout, overlaps):
    figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout=layout)
    display = LatentSpaceDisplay.from_estimator(
        fitted, X, y, grid=3, image_shape=(8, 8), ax=axes[0]
    )
    assert overlaps(figure) == []
    limits = np.array([display.ax_.get_xlim(), display.ax_.get_ylim()])
    assert (np.ptp(limits, axis=1) < 3.4 * np.ptp(display.codes, axis=0)).all()
    boxes = [one.get_window_extent() for one in (*display.axes_, axes[1])]
    if display.legend_ is not None:
        boxes = [display.legend_.get_window_extent(), *boxes[1:]]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_a_grid_of_images_with_two_channels(rng):
    images = rng.uniform(size=(2, 3, 2, 5, 4))
    values = np.arange(3.0), np.arange(2.0)
    display = LatentSpaceDisplay(rng.normal(size=(9, 2)), images=images, grid=values).plot()
    picture = display.image_.get_array()
    assert picture.shape == (5 + 1 + 5, 3 * 9 + 2)
    np.testing.assert_array_equal(picture[:5, :4], images[1, 0, 0])
    np.testing.assert_array_equal(picture[:5, 5:9], images[1, 0, 1])


@pytest.mark.parametrize("size", [(11, 5), (6, 5), (5, 7)])
def test_no_label_is_cut(fitted, size):
    _, ax = plt.subplots(figsize=size, layout="constrained")
    display = LatentSpaceDisplay.from_estimator(
        fitted, X, X[:, 20] / 3, grid=3, image_shape=(8, 8), ax=ax
    )
    display.figure_.draw_without_rendering()
    width, height = display.figure_.bbox.size
    for axes in (*display.axes_, display.colorbar_.ax):
        box = axes.get_tightbbox()
        assert box.x0 >= -1
        assert box.y0 >= -1
        assert box.x1 <= width + 1
        assert box.y1 <= height + 1


def test_a_constant_column_has_a_grid(fitted):
    display = LatentSpaceDisplay.from_estimator(
        fitted, np.tile(X[:1], (5, 1)), grid=3, image_shape=(8, 8)
    )
    assert all(np.ptp(values) == pytest.approx(2) for values in display.grid)


# -- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"components": (0, 3)},
            r"components=\(0, 3\) must be two different columns .* from 0 to 2",
        ),
        ({"components": (-1, 0)}, r"components=\(-1, 0\) must be two different columns"),
        ({"components": (0, 0)}, r"components=\(0, 0\) must be two different columns"),
        ({"components": (0.0, 1.0)}, r"components=\(0.0, 1.0\) must be two different columns"),
        ({"components": 1}, "components=1 must be two different columns"),
        ({"grid": 1, "image_shape": (8, 8)}, "grid=1 must be an int of 2 or more"),
        ({"grid": 3}, "image_shape=None, but only ConvolutionalAutoencoder knows"),
        ({"grid": 3, "image_shape": (8, 9)}, r"image_shape=\(8, 9\) has 72 pixels"),
        ({"y": [1, 2]}, "y has 2 entries, but X has 400 rows"),
        ({"y": 3}, "y has the value 3, but X has 400 rows"),
    ],
)
def test_bad_options_are_named(fitted, options, message):
    with pytest.raises(ValueError, match=message):
        LatentSpaceDisplay.from_estimator(fitted, X, **options)


def test_a_single_component_makes_no_map():
    fitted = Autoencoder(1, **SMALL).fit(X)
    with pytest.raises(ValueError, match="has a single component, and a map needs two"):
        LatentSpaceDisplay.from_estimator(fitted, X)


def test_a_classifier_has_no_decoder_for_a_grid():
    fitted = AutoencoderClassifier(Autoencoder(2, **SMALL), max_iter=2, random_state=0).fit(X, Y)
    with pytest.raises(TypeError, match="has no decoder"):
        LatentSpaceDisplay.from_estimator(fitted, X, grid=2, image_shape=(8, 8))
