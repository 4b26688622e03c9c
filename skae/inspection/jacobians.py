"""Jacobians of the code with respect to the features, for parts of the rows."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from skae.core.jacobians import row_jacobians
from skae.core.layers import LayerReader
from skae.core.networks.hashing import HashingNetwork
from skae.core.numerics import threads_for, torch_defaults
from skae.inference.transformer import as_tensor
from skae.inspection.fitted import Fitted
from skae.utils.csr import dense_parts

_MAX_ENTRIES = 2**22  # of the Jacobians held in memory at once


def code_jacobians(fitted: Fitted) -> Iterator[Tensor]:
    """Yield the Jacobian of the encoder's code at each row: ``(n, n_components, n_features)``.

    In units of the code per unit of X. Bits have no derivative: theirs is that of the units before
    the threshold. A missing entry is at its mean.
    """
    units, n_components = fitted.units, fitted.autoencoder.n_components_
    with torch_defaults():
        reader = LayerReader(fitted.network(fitted.dtype), fitted.n_encoder_layers - 1)
    has_bits = isinstance(reader.network, HashingNetwork)
    code_of = reader.inputs if has_bits else reader.outputs
    n_rows = max(1, _MAX_ENTRIES // (n_components * len(fitted.names)))
    for part in dense_parts(fitted.rows, min(n_rows, units.chunk_size)):
        operations = 3 * n_components * units.network_in(fitted.dtype).cost * len(part)
        with torch_defaults(), threads_for(operations, part.itemsize):
            z = reader.network.impute(units.standardise(as_tensor(part)))
            jacobians = row_jacobians(code_of, z, n_components)
            jacobians = jacobians.mul_(fitted.model.code_unit / units.scale).cpu()
        yield jacobians
