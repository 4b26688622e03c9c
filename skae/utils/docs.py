"""Parameter and attribute descriptions shared by the docstrings of all estimators."""

from __future__ import annotations

import inspect
import re
from typing import TypeVar

from skae.utils.supervised_docs import SUPERVISED_ATTRIBUTES, SUPERVISED_PARAMETERS

PARAMETERS = """\
n_components : int or float, default=2
    Size of the code. A float in (0, 1) selects the smallest number of components with which PCA
    explains that share of the variance. The network then explains more: on digits, 0.95 takes 29
    components, which explain 0.99 of the variance of the training rows; 12 explain 0.95. To find
    how few do, compare `score` on held-out rows for several numbers, as in a search. At the PCA
    start, columns beyond the rank of X are 0. More components than features or rows give a warning
    where only the reconstruction loss is minimised.

hidden_layer_sizes : sequence of int, default=(256, 128)
    Widths of the encoder's hidden layers; the decoder mirrors them. ``()`` gives one layer.

activation : {"gelu", "relu", "silu", "tanh", "logistic", "identity"}, default="gelu"
    Activation of the hidden layers.

code_activation : same choices as `activation`, default="identity"
    Activation of the code. Only a linear code ("identity") starts at PCA exactly and is returned
    on its principal axes. Linear and "relu" codes are in the units of X: a step of 1 along a
    column moves the reconstruction by 1 (root mean square over the training data). Tied weights
    and a contractive penalty leave the scale of the code as trained.

loss : {"squared_error", "absolute_error", "huber", "log_loss", "poisson", \
"multinomial"}, default="squared_error"
    Reconstruction loss. "huber" is quadratic up to the root mean square of ``X - mean_`` and
    linear beyond. "log_loss" is half the Bernoulli deviance; it has a logistic output and needs X
    in [0, 1]. "poisson" is half the Poisson deviance; it has an exponential output and needs
    counts, X >= 0. "multinomial" accepts counts or weights such as tf-idf, and compares the share
    of each column in the total of its row; the total of every reconstruction is the mean total.
    For counts, the encoder sees their logarithm; with "multinomial", that of the shares, and only
    with ``shortcut="pca"``. With ``shortcut="pca"``, training starts at the PCA of these
    logarithms, decoded by a Poisson regression of each column on the first 64 columns of the code.
    With "log_loss", it starts near PCA.

shortcut : {"pca", None}, default="pca"
    "pca" adds a linear skip connection to the encoder and to the decoder, fixed at the PCA
    solution. The other layers learn a correction to it. None gives the classical network.

tied_weights : bool, default=False
    Whether the decoder shares the weights of the encoder, transposed.

dropout : float, default=0.0
    Share of hidden units dropped in each training step, in [0, 1).

weight_decay : float, default=1.5
    Pulls the weights towards 0, and so the reconstruction towards PCA: over a fit, a weight
    without gradient shrinks by a factor of about ``exp(-weight_decay)``. Unlike a decay per step,
    one value suits data of any size; search between 0.5 and 5. With ``solver="lbfgs"`` it is a
    penalty instead: `weight_decay` times half the mean squared weight.

solver : {"adamw", "muon", "sgd", "lbfgs"}, default="adamw"
    The optimizer. "lbfgs" uses all rows in each of its `max_iter` steps and ignores `batch_size`,
    `shuffle` and `learning_rate_init`.

learning_rate_init : float or "auto", default="auto"
    Peak learning rate. The rate rises to it over the first 5 % of the steps (of the first 50
    epochs if ``max_iter="auto"``), then falls to 0 along a cosine. "auto" is 0.003 for "adamw",
    0.01 for "muon" and 0.05 for "sgd"; a third of that where the encoder takes the logarithm of
    counts (see `loss`). With "sgd" it is 1 / n_features, at most 0.02, for
    `VariationalAutoencoder`, and 0.64 / n_pixels, at most 0.01, for `ConvolutionalAutoencoder`.
    A fit that diverges goes on from its best state at a tenth of the rate, at most twice.

batch_size : int or "auto", default="auto"
    Rows per batch, adjusted so that the batches of an epoch differ by at most one row. "auto" is
    1/25 of the training rows, but at least 16 and at most 512.

max_iter : int or "auto", default="auto"
    Maximum number of epochs (passes over the data). "auto" is 50, in which the learning rate falls
    to 0, and up to two cycles of 50 more, each from the peak rate (warm restarts). A cycle follows
    if the best epoch is among the last 10 of the one before and, for the third, if the second
    lowered the validation loss by 2 %. `n_iter_` is the number in all. "auto" is 50 with
    ``solver="lbfgs"``, ``early_stopping=False`` or fewer than 10 rows.

tol : float, default=1e-4
    Relative decrease of the validation loss that counts as an improvement.

early_stopping : bool, default=True
    Hold rows out, stop after `n_iter_no_change` epochs in which the validation loss does not
    improve, and keep the best epoch. With ``shortcut="pca"``, PCA is kept unless the held-out loss
    of the network is clearly lower, in total and on most rows; `selected_` says which was kept,
    and docs/never_worse_than_pca.md explains the rule.
    False trains for `max_iter` epochs on all rows, and the result may be worse than PCA.
    With fewer than 10 rows, none are held out, and ``shortcut="pca"`` returns PCA untrained.

validation_fraction : float, splitter or list of pairs, default=0.1
    Share of the distinct rows held out by `early_stopping`; of the groups, if `fit` gets `groups`.
    Not used where small data, or data of few groups, is split into cross-validation folds. A
    splitter of scikit-learn names the rows itself: a single split, such as
    ``PredefinedSplit(np.where(is_held_out, 0, -1))``, or folds, each of which validates a model of
    its own, such as ``TimeSeriesSplit(3)``. Or pass the splits, as `cv` in scikit-learn: pairs of
    training and held-out rows, such as ``[(~is_held_out, is_held_out)]``.

n_iter_no_change : int, default=20
    Number of epochs without improvement after which `early_stopping` ends training. The count
    begins anew with each cycle of ``max_iter="auto"``.

warm_start : bool, default=False
    Whether `fit` continues from the network, means and scale of the previous fit if the
    architecture is the same. On the same X, several fits are like one longer fit: the rows that
    were held out remain so, and `weight_decay` is spread over the epochs of all fits. On other X,
    only rows that no fit has trained on are held out. A fit begins anew if the previous one kept
    PCA or is worse on X than its PCA, or if no row of X could judge it: after a fit of this X
    without `warm_start`, or in a pickle, which does not know its training rows.

shuffle : bool, default=True
    Whether to shuffle the rows in each epoch.

transform_max_iter : int, default=10
    Maximum number of refinement steps in `transform` (iterative inference): gradient descent on
    the loss of each row, from the encoder's code to the code with the nearest reconstruction. It
    stops once a step gains less than 0.3 %, for most rows after three or four steps, each about as
    expensive as a pass through encoder and decoder. The loss of a row never rises. With another
    `loss` than the squared error, `score` (R2) may fall. Only linear codes are refined; those of
    PCA are already the nearest. 0 returns the encoder's code. If set after a fit, the code is
    slightly off its principal axes.

random_state : int, RandomState instance or None, default=None
    Seed of weights, held-out rows, batches and dropout. An int makes fits on the same machine
    bitwise identical.

device : str or torch.device, default="auto"
    Device to train on: "auto" (CUDA if available, else CPU), "cpu", "cuda", "cuda:1", "mps", ...

precision : {"float32", "bfloat16"}, default="float32"
    Precision of matrix products in training. "bfloat16" takes 0.4 to 0.75 of the time for wide
    layers on hardware that supports it (AVX512-BF16, AMX, CUDA), and has no effect elsewhere.

verbose : bool or int, default=False
    Print the loss after each epoch. For a progress bar see `set_callbacks`."""

ATTRIBUTES = """\
n_components_ : int
    Size of the code.

mean_ : ndarray of shape (n_features,)
    Feature means of the training data. For float32 X, they and what describes the components are
    float32, as in PCA.

components_ : ndarray of shape (n_components_, n_features)
    The best linear map from the code to the rows: the least squares fit of the training rows, about
    their mean, to their codes. ``transform(X) @ components_ + mean_`` is thus the best linear
    reconstruction from a linear code. The principal axes if PCA was kept. If the decoder has a
    single layer, its weights; after `partial_fit`, the Jacobian of the decoder at the mean code.

explained_variance_ratio_ : ndarray of shape (n_components_,)
    Share of the training variance that the reconstruction explains (R2), divided among the
    columns of the code by the variance that each carries through the decoder. The values of PCA
    if the model is linear. With tied weights or a contractive penalty they need not decrease: the
    columns are then sorted by their own variance, since the code is rotated but not rescaled.

explained_variance_ : ndarray of shape (n_components_,)
    `explained_variance_ratio_` times the total variance of the training rows (with n - 1 degrees of
    freedom); 0 where the ratio is negative. The variance of a column of `transform` is another: a
    nonlinear decoder may carry more or less of it to the reconstruction.

singular_values_ : ndarray of shape (n_components_,)
    Square roots of ``(n_samples_ - 1) * explained_variance_``.

noise_variance_ : float
    The variance that the reconstruction of the training rows leaves unexplained, divided by the
    number of directions left out, ``min(n_samples_, n_features) - n_components_``; after
    `partial_fit`, ``n_features - n_components_``. If PCA was kept, it is PCA's value (0 if no
    direction is left out). The attribute is missing if a network has at least
    ``min(n_samples_, n_features)`` columns.

n_samples_ : int
    Number of training rows; after `partial_fit`, of its last call.

loss_curve_ : list of float, of length n_iter_
    Training loss of each epoch. Predicting the mean has loss 1.

validation_scores_ : list of float, of length n_iter_ + 1, or None
    Validation score at the start and after each epoch: 1 minus the mean loss of all held-out rows,
    penalties and noise included. For the plain squared error it is R2 with the encoder's codes,
    not refined; `validation_ratio_` compares refined codes, so an epoch with a lower score than the
    start may have been selected. An epoch that diverged has no entry. None without held-out rows.

best_loss_ : float
    Loss of the state that was kept, with the encoder's codes: the validation loss if rows were
    held out, else the training loss (1 minus R2 for the initial state).

best_iter_ : int
    Epoch whose state was kept; 0 is the start, which is PCA with ``shortcut="pca"`` (but see `loss`
    and `code_activation`). If the returned model trained on all rows, next to validated models, it
    is the one after the same epoch.

selected_ : {"pca", "network"}
    "pca" if the start was kept, which is PCA or what stands for it with another `loss` or
    `code_activation`; otherwise, and after `partial_fit`, "network".

validation_ratio_ : float or None
    Loss of the trained network on the held-out rows, with the codes that `transform` gives, divided
    by PCA's. Also where PCA was kept. None if no epoch was compared with PCA. For a normal
    likelihood, it is 1 minus the gain in units of half a nat per feature.

validation_ratio_interval_ : ndarray of shape (2,), or None
    `validation_ratio_` minus and plus two standard errors, or three for a normal likelihood. The
    network is selected if the ratio is below 0.99, the interval below 1, and most held-out rows
    improve; docs/never_worse_than_pca.md explains the rule.

validation_improved_ : float or None
    Of the distinct held-out rows whose loss changed, the share whose loss is lower than PCA's.

history_ : dict of str to list of float
    Each term of the training loss, per epoch.

n_iter_ : int
    Number of epochs run.

n_features_in_ : int
    Number of features seen by `fit`.

feature_names_in_ : ndarray of shape (n_features_in_,)
    Names of the features, if X has string column names."""

T = TypeVar("T", bound=type)


def document(cls: T) -> T:
    """Insert the shared descriptions of autoencoders into a class docstring."""
    return _splice(cls, PARAMETERS, ATTRIBUTES)


def document_supervised(cls: T) -> T:
    """Insert the shared descriptions of classifier and regressor into a class docstring."""
    return _splice(cls, SUPERVISED_PARAMETERS, SUPERVISED_ATTRIBUTES)


def _splice(cls: T, parameters: str, attributes: str) -> T:
    """Replace ``{parameters}`` and ``{attributes}`` in a class docstring by the shared text.

    Entries that the class describes itself and parameters that it does not have are left out. The
    defaults are those of the class.
    """
    text = inspect.cleandoc(cls.__doc__ or "")

    def is_own(entry: str) -> bool:
        return bool(re.search(rf"^{_name(entry)} : ", text, flags=re.MULTILINE))

    shared = []
    for entry in _entries(parameters):
        name = _name(entry)
        if is_own(entry) or name not in inspect.signature(cls).parameters:
            continue
        header, _, body = entry.partition("\n")
        header = header.rpartition("default=")[0] + f"default={_quoted(getattr(cls, name))}"
        shared.append(f"{header}\n{body}")
    described = [entry for entry in _entries(attributes) if not is_own(entry)]
    cls.__doc__ = text.replace("{parameters}", "\n\n".join(shared)).replace(
        "{attributes}", "\n\n".join(described)
    )
    return cls


def _entries(text: str) -> list[str]:
    return re.split(r"\n\n(?=\w+ : )", text)


def _name(entry: str) -> str:
    return entry.partition(" : ")[0]


def _quoted(default: object) -> str:
    return f'"{default}"' if isinstance(default, str) else repr(default)
