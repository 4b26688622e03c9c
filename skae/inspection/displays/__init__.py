"""Displays in the style of scikit-learn: `from_estimator` computes, `plot` draws."""

from skae.inspection.displays.latent_space import LatentSpaceDisplay

__all__ = ["LatentSpaceDisplay"]
