"""What a type checker knows of the public names; `make test` runs mypy on it, nothing runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any, assert_type

    import numpy as np
    from numpy.typing import NDArray

    import skae
    from skae import Autoencoder, AutoencoderClassifier

    X = np.zeros((3, 2))

    assert_type(Autoencoder(1).fit(X), Autoencoder)
    assert_type(Autoencoder(1).partial_fit(X).transform(X), NDArray[Any])
    assert_type(AutoencoderClassifier().fit(X, [0, 1, 0]), AutoencoderClassifier)
    skae.Autoencodr  # type: ignore[attr-defined]  # noqa: B018
