"""
Do unlabelled rows help a classifier?
=====================================

If few rows have labels, :class:`~skae.AutoencoderClassifier` learns its encoder from all rows and only
the rest from the labels. The comparison is with `LogisticRegression` on the pixels and on the components of PCA,
which are also fitted to all rows.
"""

# %%
# Draw 20 to 1000 labels, three times each, the same for all methods. The autoencoder does not depend on the
# labels and is fitted once: ``prefit=True`` starts from it. With ``freeze=True``, only the
# head is trained. The fits are shortened to 30 epochs.
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skae import Autoencoder, AutoencoderClassifier

X, y = load_digits(return_X_y=True)
X = X / 16
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.4, random_state=0)
autoencoder = Autoencoder(16, max_iter=60, random_state=0).fit(X_train)
pca = PCA(16).fit(X_train)
head = {"prefit": True, "max_iter": 30, "random_state": 0}
classifiers = {
    "fine-tuned encoder": AutoencoderClassifier(autoencoder, **head),
    "frozen encoder": AutoencoderClassifier(autoencoder, freeze=True, **head),
    "logistic regression": LogisticRegression(max_iter=1000),
}
