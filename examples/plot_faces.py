"""
Can damaged faces be restored?
==============================

A denoising autoencoder learns to reconstruct rows from corrupted copies. ``denoise`` removes noise
from new rows, and ``impute`` completes rows of which a part is missing. The faces here are of
people whom the model has not seen.
"""

# %%
# The Olivetti faces (400 images of 40 people, 32 x 32 pixels here) are not part of scikit-learn;
# set ``SKAE_DATA`` to a folder with ``olivetti.npz``, or use
# :func:`sklearn.datasets.fetch_olivetti_faces`. Without it, the script shows the picture of an
# earlier run.
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA

from skae import DenoisingAutoencoder

data = os.environ.get("SKAE_DATA")


def load_faces():
    """Return the faces of 33 people, and of seven others."""
    with np.load(Path(data) / "olivetti.npz") as arrays:
        faces, people = arrays["X"].reshape(400, 32, 2, 32, 2) / 255.0, arrays["y"]
    faces = faces.mean(axis=(2, 4)).reshape(400, -1)
    return faces[people < 33], faces[people >= 33]


# %%
# Two damages: noise, and a bar over the eyes with 30 % of the other pixels lost. Each has a model
# of its own, which is trained with noise of this kind. PCA sees the mean face where pixels are
# missing. The fits are shortened to 60 epochs on all rows, without held-out rows.
shortened = {"max_iter": 60, "batch_size": 32, "early_stopping": False, "random_state": 0}


def restore(train, test):
    """Damage the test faces and restore them; return the images and the errors."""
    rng = np.random.default_rng(0)
    noisy = test + rng.normal(0, 0.2, test.shape)
    missing = rng.random(test.shape) < 0.3
    missing.reshape(-1, 32, 32)[:, 9:15, 3:29] = True
    holes = np.where(missing, np.nan, test)
    pca = PCA(100).fit(train)
    denoiser = DenoisingAutoencoder(100, noise="gaussian", noise_level=0.2, **shortened).fit(train)
    imputer = DenoisingAutoencoder(100, noise_level=0.5, **shortened).fit(train)
    completed = pca.inverse_transform(pca.transform(np.where(missing, train.mean(axis=0), test)))
    images = {
        "original": test,
        "noise": noisy,
        "denoised by PCA": pca.inverse_transform(pca.transform(noisy)),
        "denoised by autoencoder": denoiser.denoise(noisy),
        "missing": holes,
        "completed by PCA": np.where(missing, completed, test),
        "completed by autoencoder": imputer.impute(holes),
    }
    return images, {n: np.sqrt(np.square(x - test).mean()) for n, x in images.items()}


def draw(images, errors):
    """Draw one face of each person in each state."""
    _, axes = plt.subplots(7, 7, figsize=(8, 7.4), layout="constrained")
    for row, (name, faces) in zip(axes, images.items(), strict=True):
        for ax, face in zip(row, faces[2::10], strict=True):
            drawn = ax.imshow(face.reshape(32, 32), cmap="gray", vmin=0, vmax=1)
            drawn.get_cmap().set_bad("#56B4E9")
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        error = f"\nerror {errors[name]:.3f}" if errors[name] > 0 else ""
        row[0].set_ylabel(
            name.replace(" by ", "\nby ") + error, rotation=0, ha="right", va="center"
        )


# %%
# Rows from above: the original; noise, and two ways to remove it; missing pixels, and two ways to
# fill them. The errors are root mean squares over all pixels of the new faces.
if data:
    draw(*restore(*load_faces()))
else:
    name = Path("docs/images/gallery/plot_faces.png")
    kept = plt.imread(name if name.exists() else ".." / name)
    plt.figure(figsize=(8, 7.4)).add_axes([0, 0, 1, 1]).imshow(kept)
    plt.axis("off")
plt.show()
