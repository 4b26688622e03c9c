"""
How should missing values be filled?
====================================

:class:`~skae.AutoencoderImputer` fills missing entries with the reconstruction of a denoising
autoencoder. It is compared with the imputers of scikit-learn on two tables. On images of digits
it is good; on measurements that are nearly linear in one another, regression is better.
"""

# %%
# Three in ten entries are removed at random. The measurements are standardised; the pixels have
# one unit already. The error is that of the removed entries of the held-out rows, relative to that
# of the mean of each feature. Fits are shortened: 60 epochs, and three rounds of
# ``IterativeImputer``.
import warnings

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderImputer, DenoisingAutoencoder

warnings.simplefilter("ignore", ConvergenceWarning)  # three rounds are few
denoising = DenoisingAutoencoder(16, max_iter=60)
imputers = {
    "SimpleImputer": SimpleImputer(),
    "KNNImputer": KNNImputer(),
    "IterativeImputer": IterativeImputer(max_iter=3, random_state=0),
    "AutoencoderImputer": AutoencoderImputer(denoising, random_state=0),
}


def fill(X, n_test=200):
    """Remove entries, and fill those of the last rows with each imputer."""
    missing = np.random.default_rng(0).random(X.shape) < 0.3
    holes = np.where(missing, np.nan, X)
    filled = {
        name: imputer.fit(holes[:-n_test]).transform(holes[-n_test:])
        for name, imputer in imputers.items()
    }
    errors = {
        name: np.sqrt(np.square(rows - X[-n_test:])[missing[-n_test:]].mean())
        for name, rows in filled.items()
    }
    return (
        holes[-n_test:],
        filled,
        {name: e / errors["SimpleImputer"] for name, e in errors.items()},
    )


digits = load_digits().data[:900]
holes, filled, digit_errors = fill(digits)
measurements = StandardScaler().fit_transform(load_breast_cancer().data)
table_errors = fill(measurements)[2]
for name in imputers:
    on_digits, on_table = digit_errors[name], table_errors[name]
    print(f"{name}: digits {on_digits:.2f}, breast cancer {on_table:.2f}")

# %%
# An imputer of nearest rows does well on the digits, too, since each digit has others like it.
# Which imputer is best depends on the table. Compare them on entries that you remove yourself, as
# here.
import matplotlib.pyplot as plt

shown = [0, 3, 8, 12, 17, 21]
pictures = {"original": digits[-200:], "with holes": holes, **filled}
fig = plt.figure(figsize=(9, 4.4), layout="constrained")
left, right = fig.subfigures(1, 2, width_ratios=[1.15, 1])
axes = left.subplots(len(pictures), len(shown))
for row, (name, images) in zip(axes, pictures.items(), strict=True):
    for ax, image in zip(row, images[shown], strict=True):
        drawn = ax.imshow(image.reshape(8, 8), cmap="gray", vmin=0, vmax=16)
        drawn.get_cmap().set_bad("#56B4E9")
        ax.set(xticks=[], yticks=[])
    row[0].set_ylabel(name, rotation=0, ha="right", va="center", size=9)

ax = right.subplots()
height = np.arange(len(imputers))[::-1]
for title, errors, colour, shift in (
    ("digits", digit_errors, "#0072B2", 0.18),
    ("breast cancer", table_errors, "#E69F00", -0.18),
):
    values = list(errors.values())
    bars = ax.barh(height + shift, values, 0.34, color=colour, label=title)
    ax.bar_label(bars, fmt="%.2f", padding=3, size=9)
ax.set_yticks(height, imputers)
ax.set_xlim(0, 1.15)
ax.set_xlabel("error, relative to SimpleImputer")
ax.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
ax.spines[["top", "right"]].set_visible(False)
plt.show()
