"""
Do unlabelled rows help a classifier?
=====================================

If few rows have labels, :class:`~skae.AutoencoderClassifier` learns its encoder from all rows and
only the rest from the labels. The comparison is with ``LogisticRegression`` on the pixels and on
the components of PCA, which are also fitted to all rows.
"""

# %%
# The autoencoder does not depend on the labels and is fitted once; ``prefit=True`` starts from it,
# and fine-tunes its encoder. Its fit is shortened to 40 epochs. Labels are drawn twice for each
# number, the same for all methods.
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skae import Autoencoder, AutoencoderClassifier

X, y = load_digits(return_X_y=True)
X = X / 16
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.4, random_state=0)
autoencoder = Autoencoder(16, max_iter=40, random_state=0).fit(X_train)
pca = FrozenEstimator(PCA(16).fit(X_train))
classifiers = {
    "AutoencoderClassifier": AutoencoderClassifier(
        autoencoder, prefit=True, batch_size=32, random_state=0
    ),
    "LogisticRegression, pixels": LogisticRegression(max_iter=1000),
    "LogisticRegression, PCA": make_pipeline(pca, LogisticRegression(max_iter=1000)),
}
numbers = [20, 50, 100, 200, 350]
accuracies = {name: [] for name in classifiers}
for n_labels in numbers:
    draws = [
        train_test_split(X_train, y_train, train_size=n_labels, stratify=y_train, random_state=seed)
        for seed in range(2)
    ]
    for name, classifier in classifiers.items():
        accuracies[name].append(
            [classifier.fit(X, y).score(X_test, y_test) for X, _, y, _ in draws]
        )

# %%
# With 20 labels, logistic regression is better: two labels of a class are not enough to tune an
# encoder. With 200 labels and more, the encoder is ahead. Where this point lies depends on the
# data: :doc:`/few_labels` has figures for MNIST.
for name, draws in accuracies.items():
    print(f"{name:27}", *[f"{np.mean(draw):.3f}" for draw in draws])

# %%
# Lines are means, and points are the draws.
import matplotlib.pyplot as plt

colours = ["#0072B2", "#D55E00", "#E69F00"]
fig, ax = plt.subplots(figsize=(8, 4.4), layout="constrained")
for (name, draws), colour in zip(accuracies.items(), colours, strict=True):
    errors = 1 - np.array(draws)
    ax.plot(numbers, errors.mean(axis=1), color=colour, linewidth=2, label=name)
    ax.plot(numbers, errors, "o", color=colour, markersize=4, alpha=0.6)
ax.set(xscale="log", yscale="log", xlabel="number of labels", ylabel="errors on held-out rows")
ax.set_xticks(numbers, numbers)
ax.set_yticks([0.04, 0.08, 0.16, 0.32], ["4 %", "8 %", "16 %", "32 %"])
ax.minorticks_off()
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)
ax.set_title("Digits, 1078 training rows, of which few have a label", loc="left")
plt.show()
