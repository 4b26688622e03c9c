"""
Which reduction comes before t-SNE?
===================================

t-SNE is usually run on a few principal components instead of all features. How few they may be
depends on the reduction: with eight numbers per image, an autoencoder keeps the neighbourhoods
that a map needs, and PCA loses some of them.
"""

# %%
# Any estimator with ``fit_transform`` can stand before t-SNE in a pipeline. The fit of the
# autoencoder is shortened to 40 epochs; t-SNE gets 1000 rows and 400 steps.
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from skae import Autoencoder

X, y = load_digits(return_X_y=True)
X, y = X[:1000], y[:1000]
reductions = {
    "64 pixels": "passthrough",
    "PCA, 8": PCA(8),
    "Autoencoder, 8": Autoencoder(8, max_iter=40, random_state=0),
    "PCA, 32": PCA(32),
}
maps, accuracies = {}, {}
for name, reduction in reductions.items():
    pipeline = make_pipeline(reduction, TSNE(max_iter=400, random_state=0))
    maps[name] = pipeline.fit_transform(X)
    accuracies[name] = cross_val_score(KNeighborsClassifier(5), maps[name], y, cv=10).mean()
    print(f"{name}: {accuracies[name]:.3f}")

# %%
# The figures are the accuracy of a 5-nearest-neighbour classifier on the map, cross-validated.
# With eight components, the map after the autoencoder separates the digits better than the map
# after PCA. With 32, PCA is enough, and it is fitted in milliseconds. Labels do not enter the
# maps; they colour them.
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
fig, axes = plt.subplots(1, 4, figsize=(10, 3.3), layout="constrained")
for ax, (name, points) in zip(axes, maps.items(), strict=True):
    for digit, colour in enumerate(colours):
        group = points[y == digit]
        ax.scatter(*group.T, s=6, color=colour, linewidths=0, label=str(digit))
    ax.set_title(f"{name}\n5-NN accuracy {accuracies[name]:.3f}", size=11)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_color("0.85")
handles = axes[0].get_legend_handles_labels()
fig.legend(*handles, loc="outside lower center", ncols=10, frameon=False, markerscale=2.5)
plt.show()
