"""
What do the units of a network see?
===================================

:class:`~skae.inspection.FeatureDisplay` answers in three ways: the weights of a unit, the rows
for which it is most active, and the input that would activate it most. Read together, they tell
whether a unit stands for something.
"""

# %%
# On MNIST, images of 28 x 28 pixels, the answers are easier to read than on the small digits of
# scikit-learn. Set ``SKAE_DATA`` to a folder with ``mnist.npz``, or use
# ``fetch_openml("mnist_784")``. Without it, the script shows the picture of an earlier run.
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from skae import SparseAutoencoder
from skae.inspection import FeatureDisplay

data = os.environ.get("SKAE_DATA")


# %%
# Each of the 64 units is one layer away from the pixels, and eight of them are active in an image.
# The fit is shortened: 4000 rows and 40 epochs.
def draw():
    """Fit a sparse autoencoder, and draw six of its units."""
    with np.load(Path(data) / "mnist.npz") as arrays:
        X = arrays["X_train"][:4000].reshape(4000, -1) / np.float32(255)
    autoencoder = SparseAutoencoder(
        64, penalty="topk", n_active=8, weight_decay=1.5, max_iter=40, random_state=0
    ).fit(X)
    print(f"R2 {autoencoder.score(X):.2f}, dead units: {len(autoencoder.dead_units_)}")
    FeatureDisplay.from_estimator(autoencoder, X, layer="code", units=6, image_shape=(28, 28))


# %%
# Weights: red pixels raise the unit, and blue ones lower it. Samples: the rows with the largest
# activations, which stand below them. Optimized inputs: found by gradient ascent from several
# starts, no further from the mean than the training rows are. An optimized input activates the
# unit more than any row does, and need not look like a digit.
if data:
    draw()
else:
    name = Path("docs/images/gallery/plot_digit_units.png")
    kept = plt.imread(name if name.exists() else ".." / name)
    height, width = kept.shape[:2]
    plt.figure(figsize=(width / 100, height / 100)).add_axes([0, 0, 1, 1]).imshow(kept)
    plt.axis("off")
plt.show()
