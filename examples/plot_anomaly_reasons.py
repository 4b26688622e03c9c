"""
Why is this row unusual?
========================

The reconstruction error of a row is an anomaly score, and the error of each feature is its reason: it names the
value that does not fit the others. Each value may be common on its own, so a detector
that looks at one feature at a time does not see it.
"""

# %%
# The table has 30 measurements of cell nuclei. Half of the held-out rows are altered: one value is replaced by that
# of another row. So each value is one that occurs, but not with the others of its row.
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
X_test[rows, columns] = X_test[rng.permutation(rows), columns]

# %%
# Fit PCA and the autoencoder with eight components to the rows that are as measured. The area under the ROC curve is
# the probability that an altered row has a higher score than one that is not.
autoencoder = Autoencoder(8, random_state=0).fit(X_train)
pca = PCA(8).fit(X_train)
entry_errors = {
    "Autoencoder": autoencoder.reconstruction_error(X_test, per_feature=True),
    "PCA": np.square(X_test - pca.inverse_transform(pca.transform(X_test))),
}
forest = IsolationForest(random_state=0).fit(X_train)
scores = {name: errors.sum(axis=1) for name, errors in entry_errors.items()}
scores["IsolationForest"] = -forest.score_samples(X_test)
for name, score in scores.items():
    print(f"{name}: area under the ROC curve {roc_auc_score(altered, score):.2f}")

# %%
# A reason is right if the altered feature has the largest error of its row. Of thirty features, chance would name it in
# 3 % of the rows.
for name, errors in entry_errors.items():
    right = errors[rows].argmax(axis=1) == columns
    print(f"{name}: the altered feature has the largest error in {right.mean():.0%} of the rows")

# %%
# The twelve altered rows with the highest scores. A ring marks the value that was replaced.
import matplotlib.pyplot as plt

errors = entry_errors["Autoencoder"]
top = rows[np.argsort(-errors[rows].sum(axis=1))][:12]
fig, ax = plt.subplots(figsize=(9, 4.6), layout="constrained")
drawn = ax.imshow(np.sqrt(errors[top]), cmap="Blues", aspect="auto", vmin=0, vmax=3)
ax.plot(columns[np.searchsorted(rows, top)], np.arange(12), "o", markersize=13,
        markerfacecolor="none", markeredgecolor="#D55E00", markeredgewidth=2)
ax.set_xticks(range(30), table.feature_names, rotation=60, ha="right", size=8)
ax.set_yticks(range(12), [f"row {row}" for row in top], size=8)
fig.colorbar(drawn, label="error, standard deviations", extend="max", pad=0.01)
ax.set_title("Where the largest errors are (ring: the value that was replaced)", loc="left")
plt.show()
