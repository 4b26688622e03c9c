"""
One fit, any number of columns
==============================

The first k columns of PCA are the best linear code of k numbers, so PCA is fitted once and columns
are left out later. ``OrderedAutoencoder`` gives a nonlinear code of this kind. ``truncated(k)``
returns the fitted estimator of the first k columns.
"""

# %%
# The fit is shortened to 25 epochs to keep this example fast; the default of up to 300 epochs
# lowers the error further.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from skae import OrderedAutoencoder

X_train, X_test = train_test_split(load_digits().data, random_state=0)
ordered = OrderedAutoencoder(16, max_iter=25, random_state=0).fit(X_train)
pca = PCA(16).fit(X_train)

# %%
# Images that were not used for the fit, reconstructed from 1, 2, 4, ... numbers.
shown = [1, 2, 4, 8, 16]
of_pca, of_ordered = [], []
for k in shown:
    scores = pca.transform(X_test)[:, :k]
    of_pca.append(scores @ pca.components_[:k] + pca.mean_)
    of_ordered.append(ordered.truncated(k).reconstruct(X_test))


def explained(reconstruction):
    """Share of the variance of the held-out rows that the reconstruction explains."""
    total = np.square(X_test - X_train.mean(axis=0)).sum()
    return 1 - np.square(X_test - reconstruction).sum() / total


for name, reconstructions in (("PCA", of_pca), ("OrderedAutoencoder", of_ordered)):
    print(f"{name:18}", *(f"{explained(rows):.2f}" for rows in reconstructions))

# %%
# Three digits from 1, 2, 4, 8 and 16 numbers. The original is on the right.
fig, axes = plt.subplots(6, len(shown) + 1, figsize=(7, 7), layout="constrained")
for place, number in enumerate((0, 3, 5)):
    for offset, (name, reconstructions) in enumerate((("PCA", of_pca), ("Ordered", of_ordered))):
        row = axes[2 * place + offset]
        row[0].set_ylabel(name, rotation=0, ha="right", va="center")
        for ax, rows in zip(row, [*reconstructions, X_test], strict=True):
            ax.imshow(rows[number].reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
for ax, k, pca_rows, ordered_rows in zip(axes[0], shown, of_pca, of_ordered, strict=False):
    shares = f"PCA {explained(pca_rows):.0%}\nordered {explained(ordered_rows):.0%}"
    ax.set_title(f"{k} of 16\n{shares}", fontsize=9)
axes[0, -1].set_title("original", fontsize=9)
fig.suptitle("Digits from a few numbers, and the share of the variance explained")
plt.show()
