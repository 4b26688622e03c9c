"""
Is this fit good, and where does it fail?
=========================================

Three pictures answer this for any fitted estimator of skae: the learning curve, the
reconstruction of the worst rows beside that of PCA, and the map of the code. They are displays of
:mod:`skae.inspection`.
"""

# %%
# The data are the digits, and the code has eight components. PCA is returned unless held-out rows
# show that the network is better; ``selected_`` says which was kept. The fit is shortened to 50
# epochs.
from sklearn.datasets import load_digits

from skae import Autoencoder

X, y = load_digits(return_X_y=True)
autoencoder = Autoencoder(8, max_iter=50, random_state=0).fit(X)
print(f"kept: {autoencoder.selected_}; R2 {autoencoder.score(X):.3f}")

# %%
# The learning curve
# ------------------
#
# The held-out loss ends far below that of PCA. The ring marks the epoch that was kept. The distance
# between the two curves is overfitting. The held-out loss has nearly stopped falling, so more
# epochs of this kind would help little.
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

# sphinx_gallery_thumbnail_number = 3

# %%
# The map
# -------
#
# The first two of the eight components carry the most variance. The grid on the right shows what
# the decoder makes of positions on the map, with the other six components at their mean.
LatentSpaceDisplay.from_estimator(autoencoder, X, y, grid=9, image_shape=(8, 8))
plt.show()
