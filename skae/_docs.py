"""The text that all estimators' docstrings share."""

from __future__ import annotations

import inspect
import re
from typing import TypeVar

PARAMETERS = """\
n_components : int or float, default=2
    Size of the code. A float in (0, 1) asks for the fewest components with which PCA would
    explain that share of the variance. Columns beyond the rank of X stay 0 at the PCA start.

hidden_layer_sizes : sequence of int, default=(256, 128)
    Widths of the encoder's hidden layers; the decoder mirrors them. ``()`` gives one layer.

activation : {"gelu", "relu", "silu", "tanh", "logistic", "identity"}, default="gelu"
    Activation of the hidden layers.

code_activation : same choices as `activation`, default="identity"
    Activation of the code. Only a linear code ("identity") starts at PCA exactly and is turned
    to its principal axes. A linear code and one of "relu" are in the units of X: a step of 1
    along a column moves the reconstruction by 1 (root mean square over the training data), but
    for tied weights and under a contractive penalty, where scales stay.

loss : {"squared_error", "absolute_error", "huber", "log_loss", "poisson", \
"multinomial"}, default="squared_error"
    Reconstruction loss. "log_loss" has a logistic output and needs X in [0, 1]; "poisson" has an
    exponential output and needs counts, X >= 0. "multinomial" also takes counts, or weights such
    as tf-idf, and compares each column's share of its row's total; reconstructions have the mean
    total. "huber" is quadratic up to the root mean square
    of ``X - mean_`` and linear beyond.

shortcut : {"pca", None}, default="pca"
    "pca" lays a fixed linear path, set to the PCA solution, beside encoder and decoder, whose
    layers then learn what PCA leaves over. None gives the classical network.

tied_weights : bool, default=False
    Whether the decoder's layers are the encoder's, transposed: one tensor each.

dropout : float, default=0.0
    Share of hidden units dropped in each training step, in [0, 1).

weight_decay : float, default=1.5
    How strongly weights are pulled to 0, and so the reconstruction to PCA: a weight without
    gradient shrinks by about ``exp(-weight_decay)`` in the course of a fit. Unlike a decay per
    step, one value serves data of any size; 0.5 to 5 is a range to search. With
    ``solver="lbfgs"`` it is a penalty instead: `weight_decay` times half the mean squared weight.

solver : {"adamw", "muon", "sgd", "lbfgs"}, default="adamw"
    "lbfgs" takes the whole data in each of its `max_iter` steps and ignores `batch_size`,
    `shuffle` and `learning_rate_init`.

learning_rate_init : float or "auto", default="auto"
    Highest learning rate; the rate rises to it over the first 20th of the steps and falls to 0 by
    a cosine. "auto" is 0.003 for "adamw", 0.01 for "muon", 0.05 for "sgd" (but 1 over the number
    of features, at most 0.02, with `VariationalAutoencoder`, and 0.64 over that of pixels, at most
    0.01, with `ConvolutionalAutoencoder`).

batch_size : int or "auto", default="auto"
    Rows in a step, rounded so that all steps of an epoch take as many, give or take one. "auto" is
    a 25th of the training rows, but at least 16 and at most 512.

max_iter : int, default=50
    Number of epochs (passes over the data).

tol : float, default=1e-4
    An epoch counts as an improvement where it lowers the held-out loss by this share.

early_stopping : bool, default=True
    Hold rows out, stop after `n_iter_no_change` epochs without improvement and keep the best
    epoch. With ``shortcut="pca"`` the start, which is PCA, is kept unless training is better by
    three standard errors of the held-out change, and by a hundredth at least. Where one row gains
    more than all others, the standard error is as large as the gain; then it is enough that the
    change passes with no row's gain counted for more than the largest loss of a row, and that the
    gain would outlast a further row as heavy as the heaviest whose loss trebles. Copies of a row
    judge as one, and train no model that they judge; where few rows carry most of the variance,
    some of them judge. What is judged is the whole objective, a penalty or noise included. Below
    5000 rows a second model, which sees all rows, trains beside the one that is judged, and is the
    one to keep; below 500 distinct ones, or where fewer than some 150 carry the variance, five
    folds judge, so that each row does once, or fewer where all models together would have more
    than 2^25 weights. (A warm start has one split at any size, and rows that judge it may have
    trained the fit before.) False trains `max_iter` epochs on all rows and promises nothing: the
    result may be worse than PCA.
    With fewer than 10 rows, or where PCA leaves nothing over and nothing but the reconstruction is
    minimised, there is nothing to judge or to gain: with ``shortcut="pca"`` no epoch is run and PCA
    stays.

validation_fraction : float, default=0.1
    Share of the distinct rows held out under `early_stopping` where no folds judge.

n_iter_no_change : int, default=20
    Epochs without improvement after which `early_stopping` ends the fit.

warm_start : bool, default=False
    Whether `fit` goes on from the last fit's network, means and scale, if the architecture is
    the same. The start, which `early_stopping` guards, is then that fit's end and not PCA; for
    other data than that fit's, begin anew.

shuffle : bool, default=True
    Whether rows are drawn in a new order in each epoch.

transform_max_iter : int, default=10
    Most steps by which `transform` goes on from the encoder's code of a row to the code whose
    reconstruction is nearest to the row: gradient descent on the loss, for each row by itself,
    until a step gains less than 3 in 1000. No row's loss rises, and most rows take three or four
    steps, of which each costs about what a pass through encoder and decoder does. 0 gives the
    encoder's own code. Nearest is meant in `loss`: with another than the squared error, `score`,
    which is R2, may fall. Only a linear code moves, and not that of PCA, which is the nearest
    already. May be set anew after a fit, whose axes then are a little off.

random_state : int, RandomState instance or None, default=None
    Seed of weights, held-out rows, batches and dropout. An int gives the same result, bit for
    bit, on the same machine.

device : str or torch.device, default="auto"
    Where to train: "auto" (CUDA if there is one, else CPU), "cpu", "cuda", "cuda:1", "mps", ...

precision : {"float32", "bfloat16"}, default="float32"
    Precision of matrix products in training. "bfloat16" halves the time of wide layers where the
    hardware has units for it (AVX512-BF16, AMX, CUDA), and changes nothing elsewhere.

verbose : bool or int, default=False
    Print the loss after each epoch. For a progress bar see `set_callbacks`."""

ATTRIBUTES = """\
n_components_ : int
    Size of the code.

mean_ : ndarray of shape (n_features,)
    Feature means of the training data.

components_ : ndarray of shape (n_components_, n_features)
    How a reconstruction changes with each column of the code, at the mean code: the decoder's
    Jacobian. The principal axes where the model is linear.

explained_variance_ratio_ : ndarray of shape (n_components_,)
    Share of the training variance that the reconstruction explains (R2), divided among the
    columns of the code by the variance that each carries through the decoder. PCA's own values
    where the model is linear. With tied weights, whose code is turned but never stretched, they
    need not decrease as the variances of the columns do.

loss_curve_ : list of float, of length n_iter_
    Training loss of each epoch. 1 is the loss of predicting the mean.

validation_scores_ : list of float, of length n_iter_ + 1, or None
    Held-out score at the start and after each epoch: 1 minus the held-out loss over all rows
    that judge, a penalty or noise included. R2 for the plain squared error, of the encoder's own
    codes. An epoch that diverged has none. None without held-out rows.

best_loss_ : float
    Loss of the state that was kept, for the encoder's own codes: held-out if there were held-out
    rows, else training; of a start that no rows judge, 1 minus R2.

best_iter_ : int
    Epoch whose state was kept; 0 is the start, which is PCA with ``shortcut="pca"``. Where
    `early_stopping` trains models side by side, the one that is kept stands at the same epoch.

history_ : dict of str to list of float
    Each term of the training loss, epoch by epoch.

n_iter_ : int
    Number of epochs run.

n_features_in_ : int
    Number of features seen by `fit`.

feature_names_in_ : ndarray of shape (n_features_in_,)
    Names of the features, where X has string column names."""

SUPERVISED_PARAMETERS = """\
autoencoder : autoencoder of skae or None, default=None
    An instance, whose encoder the head is put on; the steps that `transform` may take from the
    encoder's code play no part. None is ``Autoencoder(32)``. It is cloned and fitted, unless
    `prefit`, or given as ``sklearn.frozen.FrozenEstimator(autoencoder)``, which is taken as fitted
    and stays so in the clones of a search or a cross-validation.

prefit : bool, default=False
    Whether the autoencoder is fitted already. It is then used as it is, and not changed: its
    encoder is copied.

freeze : bool or int, default=False
    True trains the head alone; an int leaves this many of the lowest layers of the encoder as the
    autoencoder has them. A linear path beside the encoder is never trained.

hidden_layer_sizes : sequence of int, default=()
    Widths of the head's hidden layers. ``()`` gives a linear head.

activation : {"gelu", "relu", "silu", "tanh", "logistic", "identity"}, default="gelu"
    Activation of the head's hidden layers.

weight_decay : float, default=1.5
    As in `Autoencoder`: a weight without gradient shrinks by about ``exp(-weight_decay)`` while
    the head is trained alone, and as much again while all is.

solver : {"adamw", "muon", "sgd", "lbfgs"}, default="adamw"
    As in `Autoencoder`.

learning_rate_init : float or "auto", default="auto"
    As in `Autoencoder`, but "auto" is ten times its rate while the head is trained alone, and a
    third of it after that; at most 0.005 for "sgd" with `AutoencoderRegressor` or where the head
    has hidden layers.

batch_size : int or "auto", default="auto"
    Rows in a step. "auto" is a 25th of the rows with labels, but at least 16 and at most 512.

max_iter : int, default=100
    Number of epochs (passes over the rows with labels): of the head alone, and as many again of
    head and encoder.

tol : float, default=1e-4
    An epoch counts as an improvement where it lowers the held-out loss by this share.

early_stopping : bool, default=False
    Hold rows out, stop after `n_iter_no_change` epochs without improvement and keep the best. With
    fewer than 10 labels none is held out, and all epochs are run. A classifier holds out of each
    class alike, and never the last row of one.

validation_fraction : float, default=0.1
    Share of the rows with labels that is held out under `early_stopping`.

n_iter_no_change : int, default=10
    Epochs without improvement after which `early_stopping` ends the fit.

shuffle : bool, default=True
    Whether rows are drawn in a new order in each epoch.

random_state : int, RandomState instance or None, default=None
    Seed of head, batches and held-out rows, and of the autoencoder if that has none of its own.

verbose : bool or int, default=False
    Print the loss after each epoch. For a progress bar see `set_callbacks`."""

SUPERVISED_ATTRIBUTES = """\
autoencoder_ : object
    The fitted autoencoder, as it was before its encoder was trained on.

loss_curve_ : list of float, of length n_iter_
    Training loss of each epoch: of the head alone, then of head and encoder.

n_iter_ : int
    Number of epochs run in all.

best_iter_ : int
    Epoch whose state was kept; 0 is the start.

n_features_in_ : int
    Number of features seen by `fit`.

feature_names_in_ : ndarray of shape (n_features_in_,)
    Names of the features, where X has string column names."""

T = TypeVar("T", bound=type)


def document(cls: T) -> T:
    """Splice the text that autoencoders share into a class docstring."""
    return _splice(cls, PARAMETERS, ATTRIBUTES)


def document_supervised(cls: T) -> T:
    """Splice the text that classifier and regressor share into a class docstring."""
    return _splice(cls, SUPERVISED_PARAMETERS, SUPERVISED_ATTRIBUTES)


def _splice(cls: T, parameters: str, attributes: str) -> T:
    """Replace ``{parameters}`` and ``{attributes}`` in a class docstring by the shared text.

    An entry that the class describes itself is left out of the shared text, as is a parameter that
    it has not, and a default that the class changes is changed there.
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
