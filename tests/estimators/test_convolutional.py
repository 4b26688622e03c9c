"""Convolutional autoencoder: shapes of X, the PCA skip connection, errors."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderClassifier, ConvolutionalAutoencoder


def fast(n_components=4, **parameters) -> ConvolutionalAutoencoder:
    defaults = {"image_shape": (8, 8), "channels": (4, 8), "max_iter": 5, "random_state": 0}
    return ConvolutionalAutoencoder(n_components, **(defaults | parameters))


def moved_blobs(n_rows: int, size: int = 12, seed: int = 0) -> np.ndarray:
    """Return images of a blob at a random place: two numbers, but PCA needs many components."""
    rng = np.random.default_rng(seed)
    across, down = rng.uniform(2, size - 3, (2, n_rows, 1, 1))
    rows, columns = np.mgrid[:size, :size]
    return np.exp(-((rows - down) ** 2 + (columns - across) ** 2) / 4.0)


@pytest.fixture(scope="module")
def model(digits):
    return fast().fit(digits[:600])


def test_two_three_and_four_axes_are_the_same_images(model, digits):
    X = digits[:600]
    for images in (X.reshape(-1, 8, 8), X.reshape(-1, 1, 8, 8), X.reshape(-1, 8, 8).tolist()):
        fitted = fast(image_shape=None).fit(images)
        assert fitted.image_shape_ == model.image_shape_ == (1, 8, 8)
        assert fitted.n_features_in_ == 64
        assert np.array_equal(fitted.transform(images), model.transform(X))
        assert np.array_equal(fitted.transform(X), model.transform(X))
        assert np.array_equal(fitted.reconstruct(images), model.reconstruct(X))
        assert fitted.score(images) == model.score(X)


def test_channels_come_first():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(40, 3, 6, 5))
    fitted = fast(image_shape=None).fit(images)
    assert fitted.image_shape_ == (3, 6, 5)
    rows = fast(image_shape=(3, 6, 5)).fit(images.reshape(40, 90))
    assert np.array_equal(fitted.transform(images), rows.transform(images.reshape(40, 90)))


@pytest.mark.parametrize("shape", [(7, 9), (1, 13), (13, 1), (2, 5, 3)])
def test_odd_sizes(shape, rng):
    X = rng.normal(size=(60, int(np.prod(shape))))
    fitted = fast(2, image_shape=shape, channels=(3, 4, 5)).fit(X)
    assert fitted.reconstruct(X).shape == X.shape
    assert np.isfinite(fitted.loss_curve_).all()


def test_rows_without_a_shape_are_images_of_height_1(iris):
    assert fast(2, image_shape=None).fit(iris).image_shape_ == (1, 1, 4)


def test_starts_at_pca(digits):
    """With a negligible learning rate, PCA is kept."""
    X = digits[:600]
    fitted = fast(8, learning_rate_init=1e-12).fit(X)
    assert fitted.best_iter_ == 0
    pca = PCA(8, svd_solver="full").fit(X)
    expected = pca.inverse_transform(pca.transform(X))
    np.testing.assert_allclose(fitted.reconstruct(X), expected, atol=1e-9)
    np.testing.assert_allclose(np.abs(fitted.components_ @ pca.components_.T), np.eye(8), atol=1e-6)


def test_never_worse_than_pca(held_out_split):
    for name in ("digits", "wine", "iris"):
        X, fresh = held_out_split(name)
        shape = (8, 8) if name == "digits" else None
        pca = PCA(2).fit(X)
        error = np.square(fresh - pca.inverse_transform(pca.transform(fresh))).sum()
        fitted = fast(2, image_shape=shape, max_iter=15).fit(X)
        assert fitted.reconstruction_error(fresh).sum() <= 1.005 * error


def test_a_moving_blob_needs_few_components():
    X, fresh = moved_blobs(1500).reshape(1500, -1), moved_blobs(300, seed=1).reshape(300, -1)
    fitted = fast(4, image_shape=(12, 12), channels=(8, 16), max_iter=30).fit(X)
    assert 1 - fitted.score(fresh) < 0.15 * (1 - PCA(4).fit(X).explained_variance_ratio_.sum())


def test_linear_code_is_canonical(digits):
    X = digits[:600]
    fitted = fast(6, early_stopping=False, max_iter=8).fit(X)
    covariance = np.cov(fitted.transform(X).T)
    variances = np.diag(covariance)
    assert (np.diff(variances) < 0).all()
    correlation = covariance / np.sqrt(np.outer(variances, variances))
    np.testing.assert_allclose(correlation, np.eye(6), atol=1e-5)
    assert np.abs(fitted.transform(X).mean(axis=0)).max() < 1e-5 * np.sqrt(variances[0])


@pytest.mark.parametrize("shortcut", ["pca", None])
def test_a_step_of_1_moves_the_reconstruction_by_1(digits, shortcut):
    """Over all rows: the decoder is not linear, so one row does not represent the others."""
    X = digits[:600]
    X = np.concatenate([np.full((1, 64), -100.0), X])
    fitted = fast(6, shortcut=shortcut, early_stopping=False, max_iter=8).fit(X)
    code, step = fitted.transform(X), 1e-4
    ahead, behind = (
        np.stack([fitted.inverse_transform(code + s * row) for row in np.eye(6)])
        for s in (step, -step)
    )
    slopes = np.square((ahead - behind) / (2 * step)).sum(axis=2).mean(axis=1)
    np.testing.assert_allclose(slopes, 1.0, atol=0.1)
    variances = code.var(axis=0) * slopes
    shares = fitted.explained_variance_ratio_ / fitted.explained_variance_ratio_.sum()
    np.testing.assert_allclose(shares, variances / variances.sum(), atol=0.02)


def test_components_are_the_slope_of_inverse_transform(model):
    step = 1e-4
    centre = np.zeros((1, 4))
    for i in range(4):
        shift = step * np.eye(4)[[i]]
        slope = model.inverse_transform(centre + shift) - model.inverse_transform(centre - shift)
        np.testing.assert_allclose(model.components_[i], slope[0] / (2 * step), atol=1e-5)


def test_scale_and_shift_of_x_change_nothing(digits):
    X = digits[:600]
    plain, moved = fast().fit(X), fast().fit(X * 1e3 - 50)
    assert moved.score(X * 1e3 - 50) == pytest.approx(plain.score(X), abs=1e-4)


@pytest.mark.parametrize("solver", ["adamw", "muon", "sgd", "lbfgs"])
def test_every_solver_learns(digits, solver):
    losses = fast(early_stopping=False, solver=solver, max_iter=8).fit(digits[:600]).loss_curve_
    assert losses[-1] < losses[0]


def test_the_default_learning_rate_of_sgd_does_not_diverge(digits):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fast(2, channels=(32, 64), solver="sgd", max_iter=10).fit(digits)


@pytest.mark.parametrize("loss", ["log_loss", "poisson", "huber"])
@pytest.mark.parametrize("shortcut", ["pca", None])
def test_losses(digits, loss, shortcut):
    X = digits[:600] / 16 if loss == "log_loss" else digits[:600]
    fitted = fast(loss=loss, shortcut=shortcut, early_stopping=False, max_iter=8).fit(X)
    assert fitted.loss_curve_[-1] < min(1.0, fitted.loss_curve_[0])


def test_constant_pixels_do_not_reach_the_code(digits):
    X = digits[:600]
    constant = np.ptp(X, axis=0) == 0
    assert constant.any()
    fitted = fast().fit(X)
    changed = X + 100.0 * constant
    np.testing.assert_allclose(fitted.transform(changed), fitted.transform(X), atol=1e-9)


@pytest.mark.parametrize("shortcut", ["pca", None])
def test_pixels_that_begin_to_vary_are_learned_from(digits, shortcut):
    X = digits[:600]
    edge = np.arange(64) % 8 == 7
    first, later = np.where(edge, 0.0, X), np.where(edge, X[:, ::-1], X)
    fitted = fast(shortcut=shortcut).partial_fit(first)
    changed = first + 5.0 * edge
    np.testing.assert_allclose(fitted.transform(changed), fitted.transform(first), atol=1e-9)
    fitted.partial_fit(later)
    assert np.abs(fitted.transform(changed) - fitted.transform(first)).max() > 1e-3


def test_partial_fit_does_not_take_another_shape(digits):
    fitted = fast().partial_fit(digits[:600])
    with pytest.raises(ValueError, match="must stay as they were"):
        fitted.set_params(image_shape=(4, 16)).partial_fit(digits[:600])
    fitted.set_params(image_shape=None).partial_fit(digits[:600])
    assert fitted.image_shape_ == (1, 8, 8)


def test_pickle_pipeline_and_warm_start(digits, model):
    X = digits[:600]
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.transform(X), model.transform(X))
    code = make_pipeline(StandardScaler(), fast(3)).fit_transform(X)
    assert code.shape == (600, 3)
    fitted = fast(warm_start=True, early_stopping=False, weight_decay=0).fit(X)
    first = fitted.loss_curve_
    assert fitted.fit(X).loss_curve_[0] < first[0]


def test_convolutions_under_a_classifier(digits):
    y = load_digits().target
    few = np.where(np.arange(len(y)) % 9 == 0, y, -1)
    classifier = AutoencoderClassifier(fast(16), max_iter=40, random_state=0).fit(digits, few)
    assert classifier.score(digits, y) > 0.85
    before = classifier.autoencoder_._model.network.encoder.convolutions
    after = classifier._predictor.network.network.encoder.convolutions
    assert not np.array_equal(before[0].weight.detach(), after[0].weight.detach())


# -- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"image_shape": (8, 9)}, r"image_shape=\(8, 9\) has 72 pixels, but X has 64 features"),
        ({"image_shape": (3, 8, 8)}, r"image_shape=\(3, 8, 8\) has 192 pixels"),
        ({"image_shape": (64,)}, r"must be \(height, width\) or \(channels, height, width\)"),
        ({"image_shape": (0, 64)}, "The 'image_shape' parameter must be a sequence of ints"),
        ({"image_shape": (8, 8.0)}, "The 'image_shape' parameter must be a sequence of ints"),
        ({"image_shape": 64}, "The 'image_shape' parameter"),
        ({"channels": ()}, r"The 'channels' parameter is \(\).*use Autoencoder"),
        ({"channels": (0,)}, "The 'channels' parameter must be a sequence of ints"),
    ],
)
def test_parameters(digits, parameters, message):
    model = fast(**parameters)
    with pytest.raises(ValueError, match=message):
        model.fit(digits[:100])
    assert not hasattr(model, "image_shape_")
    assert not hasattr(model, "n_features_in_")


def test_tied_weights_is_not_a_parameter():
    with pytest.raises(TypeError, match="tied_weights"):
        ConvolutionalAutoencoder(tied_weights=True)


def test_images_of_another_shape(digits, model):
    images = digits[:600].reshape(-1, 4, 16)
    with pytest.raises(ValueError, match=r"X has images of shape \(1, 4, 16\).*image_shape=\(8, 8"):
        fast().fit(images)
    with pytest.raises(ValueError, match=r"was fitted with images of \(1, 8, 8\)"):
        model.transform(images)
    with pytest.raises(ValueError, match="X has 9 features, but ConvolutionalAutoencoder"):
        model.transform(np.ones((2, 3, 3)))


def test_five_axes(digits):
    with pytest.raises(ValueError, match=r"X has 5 axes\. Images have three"):
        fast().fit(digits[:100].reshape(-1, 1, 1, 8, 8))


def colours(n: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.normal(size=(n, 7, 6, 3)) + rng.normal(size=(n, 1, 1, 3))


@pytest.mark.parametrize("axes", [(7, 6, 3), (6, 7, 4), (8, 9, 1), (5, 9, 2)])
def test_channels_last_and_channels_first_are_the_same_images(axes):
    last = np.random.default_rng(0).normal(size=(40, *axes))
    first = np.moveaxis(last, -1, 1)
    height, width, channels = axes
    models = [fast(image_shape=None, shortcut=None).fit(images) for images in (first, last)]
    for model in models:
        assert model.image_shape_ == (channels, height, width)
        # Images may have their channels in the other place after the fit.
        assert np.array_equal(model.transform(first), model.transform(last))
        assert np.array_equal(model.reconstruct(first), model.reconstruct(last))
        assert model.score(first) == model.score(last)
    # The same network: a convolution sees the same neighbours and channels.
    np.testing.assert_allclose(models[0].transform(last), models[1].transform(last), atol=1e-4)


def test_reconstructions_of_channels_last_have_the_order_of_x():
    images = colours(40)
    model = fast(4, image_shape=None).fit(images)
    rows = images.reshape(40, -1)
    assert np.array_equal(model.transform(rows), model.transform(images))
    np.testing.assert_allclose(model.mean_.reshape(7, 6, 3), images.mean(0))
    residuals = images - model.reconstruct(images).reshape(images.shape)
    errors = np.square(residuals).sum((1, 2, 3))
    np.testing.assert_allclose(model.reconstruction_error(images), errors)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.reconstruct(images), model.reconstruct(images))
    by_parts = fast(4, image_shape=None).partial_fit(images)
    before = by_parts.transform(images)
    by_parts.partial_fit(np.moveaxis(images, -1, 1))  # read in the order of the first part
    assert by_parts.image_shape_ == (3, 7, 6)
    assert not np.array_equal(by_parts.transform(images), before)
    assert np.array_equal(by_parts.transform(images), by_parts.transform(rows))


def test_channels_last_are_learned_as_well_as_channels_first():
    images = colours(60)
    last, first = (fast(4, image_shape=None).fit(x) for x in (images, np.moveaxis(images, -1, 1)))
    assert last.score(images) == pytest.approx(first.score(images), abs=1e-3)
    assert last.score(images) > 0.3


@pytest.mark.parametrize(
    "axes", [(3, 3, 3), (16, 16, 16), (8, 32, 8), (20, 15, 7), (3, 9, 2), (4, 4, 3)]
)
def test_images_whose_channels_are_in_doubt(axes):
    images = np.random.default_rng(0).normal(size=(20, *axes))
    with pytest.raises(ValueError, match=r"channels may be first or last.*image_shape="):
        fast(image_shape=None).fit(images)
    assert fast(image_shape=axes).fit(images).image_shape_ == axes
    last = axes[2], axes[0], axes[1]
    assert fast(image_shape=last).fit(images).image_shape_ == last


@pytest.mark.parametrize("axes", [(64, 8, 8), (3, 4, 4), (1, 1, 28), (13, 20, 15), (3, 9, 4)])
def test_images_whose_channels_are_first(axes):
    images = np.random.default_rng(0).normal(size=(20, *axes))
    assert fast(image_shape=None).fit(images).image_shape_ == axes


def test_an_image_shape_with_channels_last_is_refused():
    with pytest.raises(ValueError, match=r"means 7 channels of 6 x 3.*set \(3, 7, 6\)"):
        fast(image_shape=(7, 6, 3)).fit(colours(20).reshape(20, -1))


def test_a_list_of_pictures_is_an_array_of_images():
    class Picture:
        """Has what NumPy asks of the pictures of Pillow."""

        def __init__(self, pixels):
            self.__array_interface__ = pixels.__array_interface__
            self.pixels = pixels

    pixels = np.random.default_rng(0).integers(0, 256, size=(20, 7, 6, 3), dtype=np.uint8)
    model = fast(image_shape=None).fit([Picture(image) for image in pixels])
    assert model.image_shape_ == (3, 7, 6)
    assert np.array_equal(model.transform(pixels), model.transform(pixels.reshape(20, -1)))
