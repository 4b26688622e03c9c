"""A classifier on the encoder of an autoencoder."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, softmax
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length
from torch import Tensor

from skae.core.head import class_losses
from skae.estimators.supervised import BaseSupervised
from skae.fitting.duplicates import WeightedRows
from skae.fitting.split import Split
from skae.fitting.stratified import stratified_split
from skae.utils.csr import Array
from skae.utils.docs import document_supervised
from skae.utils.labels import UNLABELLED, read_labels
from skae.utils.validation import StrOptions


@document_supervised
@dataclass(eq=False, repr=False)
class AutoencoderClassifier(ClassifierMixin, BaseSupervised):
    r"""Classifier on the encoder of an autoencoder that is pretrained without labels.

    Fits an autoencoder to all rows, using duplicate rows with the same label only once. The
    encoder :math:`f` with a head :math:`h` on the code and a softmax then minimises the weighted
    cross-entropy of the labelled rows,

    .. math::

        -\frac{1}{\sum_i w_i} \sum_i w_i \log \, \mathrm{softmax}(h(f(x_i)))_{y_i},

    first for the head alone, then for head and encoder (fine-tuning) [1]_ [2]_ [3]_. Unsupervised
    pretraining is useful if there are many rows and few labels.

    As in `sklearn.semi_supervised`, rows with ``y == -1`` are unlabelled, and so are rows whose y
    is missing (None, NaN). Only the autoencoder and the standardisation of the head's inputs use
    them; `score` leaves them out. Among string labels, mark them by None, with y of dtype object.
    If y contains only -1 and 1, both are classes.

    scikit-learn's scorers, such as ``scoring="accuracy"``, count -1 as a class that is never
    predicted. Use the default ``scoring=None``, or folds that test on labelled rows only.

    Parameters
    ----------
    {parameters}

    class_weight : dict, "balanced" or None, default=None
        Weight of each class label. Labels that are not in y are accepted only if the dict has all
        labels of y. "balanced" gives all classes the same total weight.

    Attributes
    ----------
    {attributes}

    classes_ : ndarray of shape (n_classes,)
        The class labels, including those that only rows of weight 0 have.

    validation_scores_ : list of float, of length n_iter_ + 1, or None
        Minus the mean cross-entropy of held-out rows, at the start and after each epoch. An epoch
        that diverged has no entry. None without held-out rows.

    References
    ----------
    .. [1] Bengio, Y., Lamblin, P., Popovici, D., & Larochelle, H. (2007). Greedy layer-wise
       training of deep networks. NIPS.
    .. [2] Erhan, D., et al. (2010). Why does unsupervised pretraining help deep learning?
       JMLR, 11, 625-660.
    .. [3] Kumar, A., et al. (2022). Fine-tuning can distort pretrained features and underperform
       out-of-distribution. ICLR.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from skae import Autoencoder, AutoencoderClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> y_few = np.where(np.arange(len(y)) % 18 == 0, y, -1)  # a hundred labels
    >>> autoencoder = Autoencoder(16, max_iter=20)
    >>> classifier = AutoencoderClassifier(autoencoder, random_state=0).fit(X, y_few)
    >>> bool(classifier.score(X, y) > 0.85)
    True
    """

    _: KW_ONLY
    class_weight: Mapping[Any, float] | str | None = None

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseSupervised._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }
    _loss_name: ClassVar[str] = "log_loss"
    _perfect_score: ClassVar[float] = 0.0
    _losses = staticmethod(class_losses)

    def _read_targets(self, y: ArrayLike) -> tuple[NDArray[np.float64], dict[str, Any]]:
        known, labels = read_labels(y)
        if not known.any():
            raise ValueError(
                f"No row has a label: every y is {UNLABELLED} or missing, which marks rows without "
                "one. Fit the autoencoder alone, or give labels."
            )
        check_classification_targets(labels)
        targets = np.full((len(known), 1), np.nan)
        classes, targets[known, 0] = np.unique(labels, return_inverse=True)
        return targets, {"classes_": classes}

    def _finish_targets(
        self, rows: WeightedRows, described: dict[str, Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
        targets, weights = rows.targets[rows.is_labelled], rows.weights[rows.is_labelled]
        classes, numbers = described["classes_"], targets[:, 0].astype(int)
        # Ensembles resample by weights, and expect the same classes of all members.
        weighty = classes[np.unique(numbers)]
        if len(weighty) < 2 <= len(classes):
            found = "no row with a label has"
            if len(weighty):
                found = f"only rows with the label {weighty.tolist()[0]!r} have"
            raise ValueError(
                f"A classifier needs labels of two classes or more, but {found} a positive "
                f"sample_weight. y has the classes {classes.tolist()}."
            )
        if len(classes) < 2:
            hint = ""
            if not rows.is_labelled.all():
                hint = f" (rows with y == {UNLABELLED} or without y count as unlabelled)"
            raise ValueError(
                f"A classifier needs labels of two classes or more, but y has {len(classes)} "
                f"class: {classes.tolist()}{hint}."
            )
        return targets, weights * self._by_class(classes, numbers, weights), len(classes)

    def _split(
        self, known: Tensor, groups: NDArray[np.int64] | None, generator: torch.Generator
    ) -> Split:
        return stratified_split(known[:, 0], self.validation_fraction, generator, groups)

    def _by_class(
        self, classes: NDArray[Any], numbers: NDArray[Any], weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the weight of each row's class."""
        factors = np.ones(len(classes))
        if isinstance(self.class_weight, Mapping):
            self._check_class_weight(self.class_weight, classes[np.unique(numbers)], classes)
            factors = compute_class_weight(self.class_weight, classes=classes, y=classes)
            # Keep their sums finite; dividing by a power of two is exact.
            factors = np.ldexp(factors, -np.frexp(factors.max())[1])
        elif self.class_weight is not None:
            used = np.unique(numbers)  # a class may have rows of weight 0 alone
            factors[used] = compute_class_weight(
                "balanced", classes=classes[used], y=classes[numbers], sample_weight=weights
            )
        by_row: NDArray[np.float64] = factors[numbers]
        return by_row

    @staticmethod
    def _check_class_weight(
        class_weight: Mapping[Any, float], used: NDArray[Any], classes: NDArray[Any]
    ) -> None:
        labels = classes.tolist()
        unknown = sorted(map(str, set(class_weight) - set(labels)))
        # A fold of the data may lack a class, but a misspelt class leaves another without a weight.
        if unknown and not set(labels) <= set(class_weight):
            raise ValueError(
                f"class_weight has weights of {unknown}, which are not among the classes {labels}."
            )
        given = [class_weight.get(label, 1.0) for label in labels]
        given = [w.item() if isinstance(w, np.generic) else w for w in given]
        are_weights = all(isinstance(w, Real) and 0 <= w <= sys.float_info.max for w in given)
        if not (are_weights and any(class_weight.get(label, 1.0) for label in used.tolist())):
            raise ValueError(
                f"class_weight={class_weight!r} must have finite numbers, none below 0 "
                "and one above it."
            )

    def decision_function(self, X: ArrayLike) -> Array:
        """Compute the logits of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        logits : ndarray of shape (n_samples,) or (n_samples, n_classes)
            With two classes, the logit of the second against the first.
        """
        logits = self._outputs(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: ArrayLike) -> Array:
        """Predict class probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Columns are in the order of `classes_`.
        """
        probabilities: Array = softmax(self._outputs(X), axis=1)
        return probabilities

    def predict_log_proba(self, X: ArrayLike) -> Array:
        """Predict logarithms of class probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
        """
        logs: Array = log_softmax(self._outputs(X), axis=1)
        return logs

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Predict the most probable class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        y : ndarray of shape (n_samples,)
        """
        outputs = self._outputs(X)
        labels: NDArray[Any] = self.classes_[outputs.argmax(axis=1)]
        return labels

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Compute the accuracy on the rows that have a label.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Labels. Rows without one, marked as in `fit`, are left out.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        score : float

        Raises
        ------
        ValueError
            If no row has a label.
        """
        predicted = self.predict(X)
        known, labels = read_labels(y, self.classes_)
        if not known.any():
            raise ValueError(
                f"No row has a label: every y is {UNLABELLED} or missing. Score labelled rows."
            )
        check_consistent_length(predicted, known, sample_weight)
        weights = None if sample_weight is None else np.asarray(sample_weight)[known]
        return float(accuracy_score(labels, predicted[known], sample_weight=weights))
