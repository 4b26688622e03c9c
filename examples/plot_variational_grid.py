"""
What lies between the digits?
=============================

A variational autoencoder is a density model: codes follow a normal distribution, and every code
decodes to a row. With two components, a regular grid of codes shows what the model can draw.
"""

# %%
# Fit two components to 8 x 8 images of digits. Codes are in standard deviations of the prior, N(0,
# I). The fit is shortened to 80 epochs.
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from skae import VariationalAutoencoder

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
model = VariationalAutoencoder(2, max_iter=80, random_state=0).fit(X_train)
pca = PCA(2).fit(X_train)

# %%
# ``score`` is the mean log-likelihood of a row, comparable with ``PCA.score``. Held-out rows are
# more likely under the variational autoencoder.
print(f"nats per held-out row: PCA {pca.score(X_test):.1f}, VAE {model.score(X_test):.1f}")

# %%
# On the left, the held-out rows; on the right, what the decoder makes of a grid of codes over the
# same range. Digits change into one another where two classes meet: a normal distribution has no
# gaps, so the images there are no digits. A code of eight components draws better ones, but is no
# map.
import matplotlib.pyplot as plt
import numpy as np

from skae.inspection import LatentSpaceDisplay

n, limit = 13, 3.5
values = np.linspace(-limit, limit, n)
first, second = np.meshgrid(values, values[::-1])
images = model.inverse_transform(np.stack([first.ravel(), second.ravel()], axis=1))
tiles = np.pad(images.reshape(n, n, 8, 8), ((0, 0), (0, 0), (1, 1), (1, 1)))
mosaic = tiles.swapaxes(1, 2).reshape(10 * n, 10 * n)

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 4.7), layout="constrained")
LatentSpaceDisplay(model.transform(X_test), y=y_test).plot(left, s=10)
left.set_aspect("equal", adjustable="box")
left.set(xlim=(-limit, limit), ylim=(-limit, limit))
left.set_title("Codes of held-out digits", loc="left")
edges = [-limit, limit, -limit, limit]
right.imshow(mosaic, cmap="gray", vmin=0, vmax=16, interpolation="bilinear", extent=edges)
right.set_title("What the decoder draws there", loc="left")
for ax in (left, right):
    ax.set(xlabel="component 0", ylabel="component 1", xticks=range(-3, 4), yticks=range(-3, 4))
plt.show()
