"""
Can 32 bits find similar texts?
===============================

:class:`~skae.HashingAutoencoder` turns each text into a few bits, so that texts on the same
subject differ in few of them. Four bytes replace a row of 1000 word weights, and ``kneighbors``
searches them by Hamming distance.
"""

# %%
# The texts are of five of the 20 newsgroups, which are not part of scikit-learn; set ``SKAE_DATA``
# to the folder to which :func:`sklearn.datasets.fetch_20newsgroups` has downloaded them. Without
# it, the script shows the picture of an earlier run.
import os
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import fetch_20newsgroups
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.neighbors import NearestNeighbors

from skae import HashingAutoencoder

data = os.environ.get("SKAE_DATA")
groups = ["rec.autos", "sci.crypt", "sci.med", "sci.space", "talk.politics.mideast"]


def load_texts():
    """Return word weights, groups and subjects of the training and the test texts."""
    words = TfidfVectorizer(max_features=1000, stop_words="english", sublinear_tf=True)
    parts = [
        fetch_20newsgroups(data_home=data, subset=s, categories=groups) for s in ("train", "test")
    ]
    words.fit(parts[0].data)
    subjects = [re.search(r"Subject: *([^\t\n]*)", text)[1] for text in parts[0].data]
    return [words.transform(p.data) for p in parts], [p.target for p in parts], subjects


# %%
# The new texts are the queries, and the texts of the training set are searched. Exact search
# compares all word weights by their cosine. The simple alternative for bits are the signs of 32
# components of ``TruncatedSVD``. The fit is shortened to 10 epochs.
def search(X, X_new, n=100):
    """Return the nearest training texts for each method, and the bits of the autoencoder."""
    hashing = HashingAutoencoder(32, loss="multinomial", max_iter=10, random_state=0).fit(X)
    svd = TruncatedSVD(32, random_state=0).fit(X)
    signs = [svd.transform(part) > 0 for part in (X, X_new)]
    nearest = {
        "HashingAutoencoder, 4 bytes": hashing.kneighbors(X_new, n, return_distance=False),
        "all words, exact cosine": NearestNeighbors(metric="cosine").fit(X).kneighbors(X_new, n)[1],
        "signs of TruncatedSVD, 4 bytes": NearestNeighbors(algorithm="brute")
        .fit(signs[0].astype(float))
        .kneighbors(signs[1].astype(float), n)[1],
    }
    return nearest, hashing.transform(X), hashing.transform(X_new)


def draw(weights, targets, subjects):
    """Draw the precision of the searches, and the bits of one query and its neighbours."""
    nearest, bits, new_bits = search(*weights)
    fig = plt.figure(figsize=(8, 6.4), layout="constrained")
    left, right = (part.subplots() for part in fig.subfigures(2, 1, height_ratios=[1.3, 1]))
    counts = np.arange(1, 101)
    for (name, found), colour in zip(
        nearest.items(), ("#0072B2", "#000000", "#D55E00"), strict=True
    ):
        right_group = targets[0][found] == targets[1][:, None]
        precision = (np.cumsum(right_group, axis=1) / counts).mean(axis=0)
        left.plot(
            counts, precision, color=colour, linewidth=2, label=f"{name}: {precision[-1]:.2f}"
        )
        print(f"{name}: {precision[-1]:.3f} of 100 texts are of the group of the query")
    left.legend(frameon=False, loc="upper right", title="with 100 texts found")
    left.set(
        xlabel="number of texts found",
        ylabel="share of the right group",
        xlim=(1, 100),
        ylim=(0.5, 1),
    )
    left.spines[["top", "right"]].set_visible(False)

    query = 11
    found = nearest["HashingAutoencoder, 4 bytes"][query, :7]
    right.imshow(np.vstack([new_bits[[query]], bits[found]]), cmap="gray_r", aspect="auto")
    names = [f"query, of {groups[targets[1][query]]}"]
    names += [f"{groups[targets[0][i]]}: {subjects[i][:38]}" for i in found]
    right.set_yticks(range(8), names, size=9)
    right.yaxis.tick_right()
    right.hlines(np.arange(7) + 0.5, -0.5, 31.5, color="white", linewidth=4)
    right.set_xticks([])
    right.spines[:].set_visible(False)
    right.tick_params(length=0)
    right.set_title("Bits of a query and of the seven texts found for it", loc="left", size=11)


# %%
# Above: how many of the texts found are of the group of the query. Below: the bits. A black square
# is a 1.
if data:
    draw(*load_texts())
else:
    name = Path("docs/images/gallery/plot_text_hashes.png")
    kept = plt.imread(name if name.exists() else ".." / name)
    plt.figure(figsize=(8, 6.4)).add_axes([0, 0, 1, 1]).imshow(kept)
    plt.axis("off")
plt.show()
