"""Displays in the style of scikit-learn: `from_estimator` computes and draws, `plot` redraws."""

from skae.inspection.displays.reconstruction import ReconstructionDisplay

__all__ = ["ReconstructionDisplay"]
