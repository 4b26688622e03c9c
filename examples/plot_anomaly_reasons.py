"""
Why is this row unusual?
========================

The reconstruction error of a row is an anomaly score, and the error of each feature is its
reason: it names the value that does not fit the others. Each value may be common on its own, so a
detector that looks at one feature at a time does not see it.
"""

# %%
# The table has 30 measurements of cell nuclei. In half of the held-out rows, one value is replaced
# by that of another row, at least one standard deviation away. So each value is one that occurs,
# but not with the others of its row.
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skae import Autoencoder

table = load_breast_cancer()
X_train, X_test = train_test_split(table.data, test_size=0.35, random_state=0)
scaler = StandardScaler().fit(X_train)
X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)

rng = np.random.default_rng(0)
altered = np.arange(len(X_test)) % 2 == 0
rows = np.flatnonzero(altered)
columns = rng.integers(X_test.shape[1], size=len(rows))
original = X_test.copy()
for row, column in zip(rows, columns, strict=True):
    others = original[np.abs(original[:, column] - original[row, column]) > 1, column]
    X_test[row, column] = rng.choice(others)

# %%
# Fit the autoencoder and PCA, both with 12 components, to the rows that are as measured. Some
# features are always reconstructed worse than others: each squared error is divided by the mean of
# its feature over the training rows. The score of a row is its largest such ratio.
autoencoder = Autoencoder(12, random_state=0).fit(X_train)
pca = PCA(12).fit(X_train)


def pca_errors(X):
    return np.square(X - pca.inverse_transform(pca.transform(X)))


ratios = {
    "Autoencoder": autoencoder.reconstruction_error(X_test, per_feature=True)
    / autoencoder.reconstruction_error(X_train, per_feature=True).mean(axis=0),
    "PCA": pca_errors(X_test) / pca_errors(X_train).mean(axis=0),
}
scores = {name: ratio.max(axis=1) for name, ratio in ratios.items()}
forest = IsolationForest(random_state=0).fit(X_train)
scores["IsolationForest"] = -forest.score_samples(X_test)

# %%
# The area under the ROC curve is the probability that an altered row has a higher score than one
# that is not. The isolation forest looks at one feature at a time, and each value is a common one.
# The reason is right if the altered feature has the largest ratio of its row; a guess would be
# right in 3 % of the rows.
for name, score in scores.items():
    area = roc_auc_score(altered, score)
    print(f"{name}: area under the ROC curve {area:.2f}", end="")
    if name in ratios:
        right = (ratios[name][rows].argmax(axis=1) == columns).mean()
        print(f", reason right in {right:.0%}", end="")
    print()

# %%
# PCA names the altered feature about as often as the autoencoder here; the scores of the
# autoencoder separate the rows better. The picture shows the first fourteen altered rows. A ring
# marks the value that was replaced.
import matplotlib.pyplot as plt

ratio = ratios["Autoencoder"][rows[:14]]
fig, ax = plt.subplots(figsize=(9, 4.9), layout="constrained")
shares = ratio / ratio.max(axis=1, keepdims=True)
drawn = ax.imshow(shares, cmap="Blues", aspect="auto", vmin=0)
ring = {"markersize": 14, "markerfacecolor": "none", "markeredgewidth": 2}
ax.plot(columns[:14], range(14), "o", markeredgecolor="#D55E00", **ring)
ax.set_xticks(range(30), table.feature_names, rotation=60, ha="right", size=8)
ax.set_yticks(range(14), [f"row {row}" for row in rows[:14]], size=8)
fig.colorbar(drawn, label="error ratio, relative to the largest of the row", pad=0.01)
ax.set_title("Which feature does not fit? (ring: the value that was replaced)", loc="left")
plt.show()
