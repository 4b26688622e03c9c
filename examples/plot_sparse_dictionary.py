"""
What are photographs made of?
=============================

A sparse autoencoder writes each patch of a photograph as a sum of few atoms. On natural images,
the atoms are edges of all directions and positions. ``DictionaryLearning`` of scikit-learn finds
the same, but searches for the code of each new row, where the autoencoder computes it.
"""

# %%
# Cut patches of 8 x 8 pixels from the two photographs that come with scikit-learn, at half their
# size. Patches without contrast are left out; of the others, the mean is removed and the contrast
# is evened out.
import time

import numpy as np
from sklearn.datasets import load_sample_image
from sklearn.decomposition import MiniBatchDictionaryLearning
from sklearn.feature_extraction.image import extract_patches_2d
from sklearn.utils import shuffle

from skae import SparseAutoencoder

patches = []
for name in ("china.jpg", "flower.jpg"):
    photograph = load_sample_image(name)[::2, ::2].mean(axis=2) / 255
    patches.append(extract_patches_2d(photograph, (8, 8), max_patches=8000, random_state=0))
patches = np.concatenate(patches).reshape(-1, 64)
patches -= patches.mean(axis=1, keepdims=True)
contrast = patches.std(axis=1, keepdims=True)
patches = (patches / (contrast + 0.05))[contrast[:, 0] > 0.04]
patches = shuffle(patches, random_state=0)
X, X_test = patches[:-2000], patches[-2000:]

# %%
# With ``penalty="topk"``, exactly ``n_active`` of the units are active in each row, here 5 of 64. A
# weight decay removes from the atoms what the reconstruction does not need. The fit is shortened
# to 100 epochs. Dictionary learning gets the same number of atoms, and codes of 5 atoms by
# orthogonal matching pursuit.
autoencoder = SparseAutoencoder(
    64, penalty="topk", n_active=5, weight_decay=1.5, max_iter=100, random_state=0
)
dictionary = MiniBatchDictionaryLearning(
    64, max_iter=1, batch_size=256, transform_n_nonzero_coefs=5, random_state=0
)
errors, atoms = {}, {}
for name, model in (("SparseAutoencoder", autoencoder), ("DictionaryLearning", dictionary)):
    start = time.process_time()
    model.fit(X)
    fitted = time.process_time()
    code = model.transform(X_test)
    seconds = time.process_time() - fitted
    residual = X_test - model.inverse_transform(code)
    errors[name] = np.square(residual).sum() / np.square(X_test).sum()
    atoms[name] = np.asarray(model.components_)[np.argsort(-np.abs(code).mean(axis=0))]
    print(
        f"{name}: fit {fitted - start:.1f} s, 2000 codes {1000 * seconds:.0f} ms, "
        f"error {errors[name]:.1%} of the variance"
    )

# %%
# Matching pursuit searches for the code of each row and leaves the smaller error. The encoder
# computes a code in one pass, and is many times faster on new rows. Most of the atoms are edges in
# both. The atoms that are used most come first; grey is zero.
import matplotlib.pyplot as plt


def tiles(images, n_columns=8):
    """Arrange square images in a mosaic with gaps, each scaled to its largest value."""
    images = images / np.abs(images).max(axis=1, keepdims=True)
    side = int(images.shape[1] ** 0.5)
    padded = np.pad(images.reshape(-1, side, side), ((0, 0), (1, 1), (1, 1)), constant_values=1)
    n_rows = len(images) // n_columns
    side += 2
    return padded.reshape(n_rows, n_columns, side, side).swapaxes(1, 2).reshape(n_rows * side, -1)


fig, axes = plt.subplots(1, 2, figsize=(8, 4.3), layout="constrained")
for ax, (name, components) in zip(axes, atoms.items(), strict=True):
    ax.imshow(tiles(components), cmap="gray", vmin=-1, vmax=1)
    ax.set_title(f"{name}: {errors[name]:.0%} error", loc="left")
    ax.set_axis_off()
plt.show()
