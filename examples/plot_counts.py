"""
How should counts be reconstructed?
===================================

The error of a count grows with the count. With squared errors, rows with large counts therefore
govern the fit, and reconstructed rates may be negative. ``loss="poisson"`` compares counts with
rates as a Poisson regression does.
"""

# %%
# The data are generated, so that the true rates are known: 16 x 16 pixels count the photons of a
# star, at a random position and with a brightness that varies by a factor of 100, before a dim
# sky.
import numpy as np
from sklearn.decomposition import NMF, PCA

from skae import Autoencoder

rng = np.random.default_rng(0)
grid = np.arange(16)


def star_rates(x, y, brightness):
    """Expected photons in each pixel."""
    x, y = (np.exp(-np.square(grid - centre[:, None]) / 6) for centre in (x, y))
    star = brightness[:, None, None] * y[:, :, None] * x[:, None, :]
    return (0.1 + star).reshape(len(brightness), -1)


def draw(n_rows):
    """Draw counts and their true rates."""
    rates = star_rates(*rng.uniform(3, 12, (2, n_rows)), 10 ** rng.uniform(0, 2, n_rows))
    return rng.poisson(rates).astype(float), rates


X, _ = draw(3000)
X_test, rates_test = draw(1000)

# %%
# Three numbers determine a row: position and brightness. Each method gets three components, and
# PCA and NMF also sixteen. NMF minimises the same deviance as the autoencoder, but mixes its
# components linearly. The fit of the autoencoder is shortened to 25 epochs. The figure is the mean
# Poisson deviance between true and reconstructed rates of held-out rows, summed over the pixels.
poisson = {"beta_loss": "kullback-leibler", "solver": "mu", "init": "nndsvda", "tol": 1e-3}
methods = {
    "PCA, 3": PCA(3),
    "PCA, 16": PCA(16),
    "NMF, 3": NMF(3, **poisson),
    "NMF, 16": NMF(16, **poisson),
    "Autoencoder, 3": Autoencoder(3, loss="poisson", max_iter=25, random_state=0),
}


def restored_rates(method, counts):
    """Reconstruct counts; rates below a hundredth of a photon are set to that."""
    return np.maximum(method.inverse_transform(method.transform(counts)), 0.01)


def deviance(rates, estimate):
    """Poisson deviance of a row, summed over its pixels."""
    return 2 * np.sum(rates * np.log(rates / estimate) - rates + estimate, axis=1).mean()


errors = {}
for name, method in methods.items():
    method.fit(X)
    errors[name] = deviance(rates_test, restored_rates(method, X_test))
    print(f"{name}: {errors[name]:.1f}")

# %%
# A faint, a middling and a bright star. Three components of PCA and NMF cannot say where the star
# is. Sixteen can, but they also pass more of the noise on, which shows in the faint row.
import matplotlib.pyplot as plt

brightness = np.array([2.0, 12.0, 80.0])
rates = star_rates(np.array([5.0, 10.0, 7.0]), np.array([10.0, 6.0, 8.0]), brightness)
counts = rng.poisson(rates).astype(float)
columns = {"true rates": rates, "counts": counts}
columns |= {name: restored_rates(method, counts) for name, method in methods.items()}

fig, axes = plt.subplots(3, 7, figsize=(9, 4.3), layout="constrained")
for column, (name, images) in zip(axes.T, columns.items(), strict=True):
    for ax, image, highest in zip(column, images, brightness, strict=True):
        ax.imshow(image.reshape(16, 16), cmap="magma", vmin=0, vmax=1.2 * highest)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    below = f"\ndeviance {errors[name]:.1f}" if name in errors else "\n"
    column[0].set_title(name + below, size=10)
for ax, label in zip(axes[:, 0], ("faint", "middling", "bright"), strict=True):
    ax.set_ylabel(label)
plt.show()
