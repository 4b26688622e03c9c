"""Displays in the style of scikit-learn: `from_estimator` computes, `plot` draws."""

from skae.inspection.displays.latent_space import LatentSpaceDisplay
from skae.inspection.displays.loss_curve import LossCurveDisplay
from skae.inspection.displays.search import SearchDisplay

__all__ = ["LatentSpaceDisplay", "LossCurveDisplay", "SearchDisplay"]
