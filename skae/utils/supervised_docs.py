"""Parameter and attribute descriptions shared by classifier and regressor."""

from __future__ import annotations

SUPERVISED_PARAMETERS = """\
autoencoder : autoencoder of skae or None, default=None
    The autoencoder whose encoder is used, without the refinement steps of its `transform`. None is
    ``Autoencoder(32)``, with fewer components if X has fewer columns or rows. It is cloned and
    fitted, unless `prefit` is True. A ``sklearn.frozen.FrozenEstimator(autoencoder)`` is taken as
    fitted, and stays fitted when a search or a cross-validation clones it.

prefit : bool, default=False
    Whether the autoencoder is already fitted. Its encoder is then copied, and the autoencoder
    itself is not changed.

freeze : bool or int, default=False
    True trains only the head; an int freezes this many of the lowest layers of the encoder. Skip
    connections are never trained.

hidden_layer_sizes : sequence of int, default=()
    Widths of the head's hidden layers. ``()`` gives a linear head.

activation : {"gelu", "relu", "silu", "tanh", "logistic", "identity"}, default="gelu"
    Activation of the head's hidden layers.

weight_decay : float, default=1.5
    As in `Autoencoder`: a weight without gradient shrinks by a factor of about
    ``exp(-weight_decay)`` while the head is trained alone, and by as much again during fine-tuning.

solver : {"adamw", "muon", "sgd", "lbfgs"}, default="adamw"
    As in `Autoencoder`.

learning_rate_init : float or "auto", default="auto"
    As in `Autoencoder`, but "auto" is ten times its rate for the head alone and a third of its rate
    for fine-tuning. With "sgd" it is at most 0.005 for `AutoencoderRegressor` and for heads with
    hidden layers.

batch_size : int or "auto", default="auto"
    Rows per batch. "auto" is 1/25 of the labelled rows, but at least 16 and at most 512.

max_iter : int, default=100
    Maximum number of epochs (passes over the labelled rows) for the head alone, and again for
    fine-tuning head and encoder.

tol : float, default=1e-4
    Relative decrease of the validation loss that counts as an improvement.

early_stopping : bool, default=False
    Hold rows out, stop after `n_iter_no_change` epochs in which the validation loss does not
    improve, and keep the best epoch. A classifier stratifies the split by class and never holds
    out the last row, or the last group, of a class. With fewer than 10 labels, none are held out
    and all epochs are run. The autoencoder chooses its own held-out rows; see its
    `early_stopping`.

validation_fraction : float, splitter or list of pairs, default=0.1
    Share of the labelled rows held out by `early_stopping`; of their groups, if `fit` gets
    `groups`. A splitter of scikit-learn names the rows itself, such as
    ``PredefinedSplit(np.where(is_held_out, 0, -1))`` or ``StratifiedGroupKFold(10)``, of which the
    first split is used. It gets all rows in the order of X, the groups and y, for a classifier
    as the places of the labels in `classes_`, with -1 for rows without one. The head uses only the
    labelled rows of the split. A splitter of the autoencoder gets the same, and the autoencoder
    uses labelled and unlabelled rows. Or pass the splits, as `cv` in scikit-learn: pairs of
    training and held-out rows, such as ``[(~is_held_out, is_held_out)]``.

n_iter_no_change : int, default=10
    Number of epochs without improvement after which `early_stopping` ends training.

shuffle : bool, default=True
    Whether to shuffle the rows in each epoch.

random_state : int, RandomState instance or None, default=None
    Seed of head, batches and held-out rows, and of the autoencoder if its `random_state` is None.

verbose : bool or int, default=False
    Print the loss after each epoch. For a progress bar see `set_callbacks`."""

SUPERVISED_ATTRIBUTES = """\
autoencoder_ : object
    The fitted autoencoder, before fine-tuning.

loss_curve_ : list of float, of length n_iter_
    Training loss of each epoch: first of the head alone, then of the fine-tuning.

n_iter_ : int
    Total number of epochs run.

best_iter_ : int
    Epoch whose state was kept; 0 is the start.

n_features_in_ : int
    Number of features seen by `fit`.

feature_names_in_ : ndarray of shape (n_features_in_,)
    Names of the features, if X has string column names."""
