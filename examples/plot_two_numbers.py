"""
What is left of a row in two numbers?
=====================================

Two components make a map. PCA, an autoencoder and t-SNE draw very different ones. PCA and the
autoencoder also have ``transform`` for new rows and ``inverse_transform`` back to the features.
t-SNE only arranges the rows that it is given.
"""

# %%
# The maps are compared by how well the five nearest neighbours on the training map predict the
# digit of a held-out row. For t-SNE, there are no new rows: its figure leaves each row out in
# turn, on a map of all rows, and says less.
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.model_selection import LeaveOneOut, cross_val_score, train_test_split
from sklearn.neighbors import KNeighborsClassifier

from skae import Autoencoder

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
neighbours = KNeighborsClassifier(5)

maps = {}
for name, estimator in (
    ("PCA", PCA(2)),
    ("Autoencoder", Autoencoder(2, max_iter=60, random_state=0)),
):
    estimator.fit(X_train)
    neighbours.fit(estimator.transform(X_train), y_train)
    accuracy = neighbours.score(estimator.transform(X_test), y_test)
    maps[name] = (estimator.transform(X), f"{accuracy:.0%} of held-out rows")

points = TSNE(max_iter=500, random_state=0).fit_transform(X[:1000])
accuracy = cross_val_score(neighbours, points, y[:1000], cv=LeaveOneOut()).mean()
maps["t-SNE"] = (points, f"{accuracy:.0%} of its own rows")

# %%
# The fit of the autoencoder is shortened to 60 epochs, and t-SNE is run on 1000 rows with 500
# steps. t-SNE separates the digits best: it is made for maps, and each row has a position of its
# own. The autoencoder has learned a function instead, whose two numbers also give an image back.
for name, (_, accuracy) in maps.items():
    print(f"{name}: {accuracy}")

# %%
# The colours can be told apart with all common forms of colour blindness.
import matplotlib.pyplot as plt

colours = [
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#E69F00",
    "#000000",
    "#999999",
    "#882255",
    "#F0E442",
]
fig, axes = plt.subplots(1, 3, figsize=(9, 3.8), layout="constrained")
for ax, (name, (points, accuracy)) in zip(axes, maps.items(), strict=True):
    for digit, colour in enumerate(colours):
        group = points[y[: len(points)] == digit]
        ax.scatter(*group.T, s=9, color=colour, alpha=0.8, linewidths=0, label=str(digit))
    ax.set_title(f"{name}\n5-NN right for {accuracy}", size=11)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_color("0.85")
handles = axes[0].get_legend_handles_labels()
fig.legend(*handles, loc="outside lower center", ncols=10, frameon=False, markerscale=2.5)
plt.show()
