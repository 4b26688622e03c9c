"""Scaling of the output of a decoder."""

from __future__ import annotations

import pytest
import torch

from skae.core.networks.autoencoder import Architecture, build_network
from skae.core.networks.conv import ConvolutionalArchitecture


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture(36, 2, (5,)),
        ConvolutionalArchitecture(36, 2, (5,), image_shape=(1, 6, 6), channels=(3, 4)),
    ],
    ids=["dense", "convolutional"],
)
def test_output_is_multiplied_by_the_factor(architecture):
    generator = torch.Generator().manual_seed(0)
    decoder = build_network(architecture, generator=generator).decoder.eval()
    code = torch.randn(1, 7, 2, generator=generator)
    with torch.no_grad():
        before = decoder(code)
        decoder.scale_output(3.0)
        torch.testing.assert_close(decoder(code), 3.0 * before)
