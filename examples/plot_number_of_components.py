"""
How many components are enough?
===============================

``n_components`` is chosen as for PCA: plot the error on held-out rows against the number of
components, and take the smallest number that is good enough. An autoencoder often needs fewer
components than PCA for the same error, because its code may be a curved function of the features.
"""

# %%
# The data are 8 x 8 images of handwritten digits. The error is that of rows which were not used
# for the fit, divided by their variance about the mean of the training rows. Fits are shortened to
# 25 epochs to keep this example fast; the default of up to 150 epochs lowers the error further.
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from skae import Autoencoder

X_train, X_test = train_test_split(load_digits().data, random_state=0)
variance = np.square(X_test - X_train.mean(axis=0)).sum()


def held_out_error(estimator):
    """Share of the variance of held-out rows that is not explained."""
    reconstruction = estimator.inverse_transform(estimator.transform(X_test))
    return np.square(X_test - reconstruction).sum() / variance


sizes = [2, 4, 8, 16, 24]
models = [Autoencoder(size, max_iter=25, random_state=0) for size in sizes]
errors = [held_out_error(model.fit(X_train)) for model in models]

pca_sizes = np.arange(2, 37)
pca_errors = [held_out_error(PCA(size).fit(X_train)) for size in pca_sizes]

# %%
# The number of components is where the curve reaches the target, here 5 % of the variance. PCA is
# fitted in milliseconds with every number; the autoencoder is fitted with five, and between them
# the logarithm of the error is interpolated.
target = 0.05
needed = int(np.ceil(np.interp(-np.log(target), -np.log(errors), sizes)))
pca_needed = int(pca_sizes[np.argmax(np.asarray(pca_errors) <= target)])
print(f"95 % of the variance: PCA {pca_needed} components, autoencoder {needed}")

# %%
# The axis of the errors is logarithmic.
import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(8, 4.6), layout="constrained")
for x, y, n, colour in (
    (pca_sizes, pca_errors, pca_needed, "#D55E00"),
    (sizes, errors, needed, "#0072B2"),
):
    ax.plot(x, y, color=colour, linewidth=2, marker="o", markersize=3.5)
    ax.plot([n, n], [0.022, target], color=colour, linewidth=1, linestyle=":")
    ax.plot(n, target, "o", color=colour, ms=9, markerfacecolor="white", markeredgewidth=2)
    offset = {"xytext": (5, 5), "textcoords": "offset points"}
    ax.annotate(f"{n}", (n, target), **offset, color=colour, weight="bold")
ax.text(10.5, pca_errors[8] * 1.13, "PCA", color="#D55E00", weight="bold")
ax.text(8.4, errors[2] * 1.1, "Autoencoder", color="#0072B2", weight="bold")
ax.axhline(target, color="0.5", linewidth=1)
ax.text(2, target * 1.04, "5 % unexplained: 95 % explained", color="0.35")
ax.set(yscale="log", ylim=(0.022, 0.85), xlim=(1, 37))
ax.set_yticks([0.05, 0.1, 0.2, 0.4, 0.8], ["5 %", "10 %", "20 %", "40 %", "80 %"])
ax.minorticks_off()
ax.spines[["top", "right"]].set_visible(False)
ax.set(xlabel="number of components", ylabel="unexplained variance, held-out rows")
title = f"Digits: {needed} components of the autoencoder explain as much as "
ax.set_title(title + f"{pca_needed} of PCA", loc="left")
plt.show()
