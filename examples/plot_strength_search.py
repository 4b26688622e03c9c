"""
How strong should the penalty be?
=================================

Reconstruction cannot choose the strength of a penalty: it is best with little or none. A score
that a copy of the input does not solve can. Here ``GridSearchCV`` chooses the ``alpha`` of a sparse
autoencoder by masked imputation: how well masked entries are predicted from the others.
"""

# %%
# The code is wider than the data: 100 units for 64 pixels. The fits are shortened to 20 epochs,
# and there are two folds, each with 600 rows.
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from skae import SparseAutoencoder
from skae.metrics import masked_imputation_score, reconstruction_score

X = load_digits().data[:1200]
search = GridSearchCV(
    SparseAutoencoder(100, max_iter=20, random_state=0),
    {"alpha": [0, 0.01, 0.03, 0.1, 0.3, 1.0]},
    scoring={
        "masked imputation": masked_imputation_score,
        "reconstruction": reconstruction_score,
    },
    refit="masked imputation",
    cv=2,
)
search.fit(X)
print("chosen:", search.best_params_)

# %%
# ``refit`` names the score that chooses. The maximum should lie inside the grid; if it is at an
# end, extend the grid there.
share = search.best_estimator_.zero_fraction_
print(f"share of zeros in the code of the chosen estimator: {share:.0%}")

# %%
# :class:`~skae.inspection.SearchDisplay` draws both scores over the same axis. Masked imputation
# has its maximum at the ring. Reconstruction is best with little or no penalty: its curve
# shows what the penalty costs.
import matplotlib.pyplot as plt

from skae.inspection import SearchDisplay

fig, ax = plt.subplots(figsize=(8, 5), layout="constrained")
SearchDisplay.from_search(search, ax=ax)
plt.show()
