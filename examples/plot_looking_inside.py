"""
Is this fit good, and where does it fail?
=========================================

Three pictures answer this for any fitted estimator of skae: the learning curve, the
reconstruction of the worst rows beside that of PCA, and the map of the code. They are displays of
:mod:`skae.inspection`.
"""

# %%
# Load the digits, and fit eight components. ``selected_`` says whether the network or PCA was kept.
# The fit is compared with PCA on held-out rows, and PCA is returned unless these show that the
# network is better.
from sklearn.datasets import load_digits

from skae import Autoencoder

X, y = load_digits(return_X_y=True)
autoencoder = Autoencoder(8, random_state=0).fit(X)
print(f"kept: {autoencoder.selected_}; R2 {autoencoder.score(X):.3f}")

# %%
# The learning curve
# ------------------
#
# The held-out loss ends far below that of PCA, and the ring marks the epoch that was kept. The
# distance between the two curves is overfitting: more rows would help more than more epochs.
import matplotlib.pyplot as plt

from skae.inspection import LatentSpaceDisplay, LossCurveDisplay, ReconstructionDisplay

fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
LossCurveDisplay.from_estimator(autoencoder, ax=ax)
plt.show()

# %%
# Odd rows
# --------
#
# ``score_samples`` is the negative reconstruction error of each row. Its lowest values belong to
# digits that are written unusually. Here, PCA fails on them too.
import numpy as np

odd = np.argsort(autoencoder.score_samples(X))[:8]
print("digits of the odd rows:", y[odd])
ReconstructionDisplay.from_estimator(autoencoder, X[odd], image_shape=(8, 8))
plt.show()

# %%
# The map
# -------
#
# The first two of the eight components carry the most variance. The grid on the right shows what
# the decoder makes of positions on the map, with the other six components at their mean.
LatentSpaceDisplay.from_estimator(autoencoder, X, y, grid=9, image_shape=(8, 8))
plt.show()
