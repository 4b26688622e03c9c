"""Displays in the style of scikit-learn: `from_estimator` computes, `plot` draws."""

from skae.inspection.displays.components import ComponentsDisplay
from skae.inspection.displays.features import FeatureDisplay
from skae.inspection.displays.latent_space import LatentSpaceDisplay
from skae.inspection.displays.loss_curve import LossCurveDisplay
from skae.inspection.displays.reconstruction import ReconstructionDisplay
from skae.inspection.displays.search import SearchDisplay

__all__ = [
    "ComponentsDisplay",
    "FeatureDisplay",
    "LatentSpaceDisplay",
    "LossCurveDisplay",
    "ReconstructionDisplay",
    "SearchDisplay",
]
