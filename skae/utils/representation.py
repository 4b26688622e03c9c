"""What scikit-learn's HTML representation shows of a fitted estimator, and where its links lead."""

from __future__ import annotations

from typing import Any, ClassVar

from sklearn.base import BaseEstimator

# Address of the documentation site, as in pyproject.toml.
DOCUMENTATION = "https://skae.readthedocs.io/en/stable"
# The choice between PCA and the network, and the length of training, come first.
_FIRST = (
    "selected_",
    "validation_ratio_",
    "validation_ratio_interval_",
    "validation_improved_",
    "n_iter_",
    "best_iter_",
)


class BaseRepresented(BaseEstimator):
    """Estimator whose HTML representation links to the documentation of skae."""

    _doc_link_module: ClassVar[str] = "skae"
    _doc_link_template: ClassVar[str] = DOCUMENTATION + "/api/generated/skae.{estimator_name}.html"

    def _get_fitted_attr_html(self, doc_link: str = "") -> Any:
        """Return scikit-learn's table of fitted attributes, with those of `_FIRST` at its top."""
        table = super()._get_fitted_attr_html(doc_link)
        first = {name: table.data.pop(name) for name in _FIRST if name in table}
        table.data = first | table.data
        return table
