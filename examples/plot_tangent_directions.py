"""
In which directions may a row change?
=====================================

Data with few degrees of freedom lie near a curved surface. The code of a contractive autoencoder
is insensitive to all directions but those along that surface: its tangents. PCA has one set of
directions for all rows, but the tangents of a curved surface differ from row to row.
"""

# %%
# The data are generated, so that the true tangents are known: images of 16 x 16 pixels of one
# spot, which moves in two directions.
import numpy as np
from sklearn.decomposition import PCA

from skae import ContractiveAutoencoder

grid = np.arange(16)


def spots(positions):
    """Draw a round spot at each position (x, y)."""
    x, y = (np.exp(-np.square(grid - p[:, None]) / 8) for p in positions.T)
    return (y[:, :, None] * x[:, None, :]).reshape(len(positions), -1)


def true_tangents(positions, step=1e-3):
    """Orthonormal derivatives of the image with respect to the position."""
    moves = [spots(positions + d) - spots(positions - d) for d in step * np.eye(2)]
    return np.linalg.qr(np.stack(moves, axis=2))[0].transpose(0, 2, 1)


rng = np.random.default_rng(0)
X = spots(rng.uniform(3, 12, (1000, 2)))
positions = np.array([[4.5, 11.0], [7.5, 7.5], [11.0, 5.0]])
X_new = spots(positions)

# %%
# ``tangent_directions`` returns the directions in which the code of a row changes most. The fit is
# shortened to 30 epochs.
autoencoder = ContractiveAutoencoder(8, alpha=0.01, max_iter=30, random_state=0).fit(X)
directions = autoencoder.tangent_directions(X_new, 2)
pca_directions = np.repeat(PCA(2).fit(X).components_[None], len(X_new), axis=0)


def projections(found):
    """Matrices that project on the found directions."""
    return found.transpose(0, 2, 1) @ found


def overlap(found, positions):
    """Share of the tangent plane that the found directions span, 0 to 1."""
    cosines = true_tangents(positions) @ found.transpose(0, 2, 1)
    return np.square(cosines).sum(axis=(1, 2)) / 2


many = rng.uniform(3, 12, (500, 2))
overlaps = {
    "contractive autoencoder": overlap(autoencoder.tangent_directions(spots(many), 2), many).mean(),
    "PCA": overlap(np.repeat(pca_directions[:1], len(many), axis=0), many).mean(),
}
for name, value in overlaps.items():
    print(f"overlap with the true tangents, {name}: {value:.2f}")

# %%
# Of each true tangent, the picture shows what lies in the plane of the directions that a method
# found: all of it if they are right. A tangent of a moving spot is positive on one side and
# negative on the other. The autoencoder finds most of it at each place. PCA has one
# plane for all rows, which holds little of it away from the middle.
import matplotlib.pyplot as plt

tangents = true_tangents(positions)
columns = [
    ("row", X_new[:, None]),
    ("true tangents", tangents),
    (f"contractive: {overlaps['contractive autoencoder']:.2f}", tangents @ projections(directions)),
    (f"PCA: {overlaps['PCA']:.2f}", tangents @ projections(pca_directions)),
]
fig = plt.figure(figsize=(8, 3.8), layout="constrained")
parts = fig.subfigures(1, 4, width_ratios=[1.06, 2, 2, 2], wspace=0.03)
for part, (name, images) in zip(parts, columns, strict=True):
    axes = part.subplots(len(X_new), images.shape[1], squeeze=False)
    part.suptitle(name, size=11)
    style = {"cmap": "gray"} if name == "row" else {"cmap": "RdBu_r", "vmin": -0.3, "vmax": 0.3}
    for ax, image in zip(axes.flat, images.reshape(-1, 16, 16), strict=True):
        ax.imshow(image, **style)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_color("0.8")
plt.show()
