"""The network of a variational autoencoder."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from skae.core.networks.autoencoder import Architecture, AutoencoderNetwork
from skae.core.networks.dense import MLP, WeightInit

# Smallest noise variance, as a share of the variance of X. Without it, the likelihood is unbounded
# where the code explains all of X.
MIN_NOISE_VARIANCE = 1e-6


class VariationalNetwork(AutoencoderNetwork):
    """A network whose encoder returns a normal distribution of codes; the code is its mean.

    Attributes
    ----------
    log_variance : MLP
        The log-variance head, on the encoder's last hidden layer.
    noise_variance : Tensor of shape (n_models, 1, 1), of shape (1,) without a model axis, or None
        Noise variance of the normal likelihood, in training units; None for another likelihood.
    """

    noise_variance: Tensor | None

    def __init__(self, encoder: MLP, decoder: MLP, log_variance: MLP, *, has_noise: bool) -> None:
        super().__init__(encoder, decoder, "identity")
        self.log_variance = log_variance
        self.mlps.append(log_variance)
        self.code_scales_with_data = False  # the unit of the code is the prior's
        noise = torch.ones(len(encoder.layers[-1].bias), 1, 1, dtype=torch.float32)
        self.register_buffer("noise_variance", noise if has_noise else None)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and log-variance of the code of each row."""
        hidden = self.encoder.hidden(x)
        return self.encoder.output(hidden, x), self.log_variance(hidden)

    def default_learning_rate(self, solver: str) -> float:
        if solver != "sgd":
            return super().default_learning_rate(solver)
        # The gradient of a loss in nats per row grows with the number of features.
        return min(0.02, 1.0 / self.decoder.layers[-1].bias.shape[-1])

    def init_from_pca(
        self,
        encode: Tensor,
        decode: Tensor,
        offset: Tensor | None,
        standard_deviations: Tensor,
        noise_variances: Tensor,
    ) -> None:
        """Start at probabilistic PCA, whose posterior is exact (Tipping & Bishop 1999).

        With component variance v and noise variance s, a code of 1 moves the reconstruction by the
        square root of ``v - s``, and given x the code has variance ``s / v``.
        """
        noise = noise_variances.clamp_min(MIN_NOISE_VARIANCE)
        variances = standard_deviations.square().maximum(noise)
        gains = (variances - noise).sqrt()
        encode = encode * (gains / variances)[:, None]
        super().init_from_pca(
            encode, decode * gains[..., None], offset, standard_deviations, noise_variances
        )
        self.log_variance.set_skip(None, (noise / variances).log()[:, None])
        if self.noise_variance is not None:
            self.noise_variance = noise[..., None].float()


@dataclass(frozen=True)
class VariationalArchitecture(Architecture):
    """Architecture of a `VariationalNetwork`.

    Attributes
    ----------
    has_noise : bool
        Whether the likelihood has a noise variance.
    """

    has_noise: bool = True

    def join(self, encoder: MLP, decoder: MLP, init: WeightInit) -> VariationalNetwork:
        n_in, n_out = self.sizes[-2:]
        layer = init.dense(n_in, n_out)
        with torch.no_grad():
            layer.weight.zero_()  # every row starts with the same variances
        head = MLP([layer], "identity")
        return VariationalNetwork(encoder, decoder, head, has_noise=self.has_noise)
