"""Displays in the style of scikit-learn: `from_estimator` computes, `plot` draws."""

from skae.inspection.displays.components import ComponentsDisplay
from skae.inspection.displays.features import FeatureDisplay
from skae.inspection.displays.reconstruction import ReconstructionDisplay

__all__ = ["ComponentsDisplay", "FeatureDisplay", "ReconstructionDisplay"]
