"""Tools to look inside a fitted autoencoder: units, codes, features, losses, and displays.

Every function and every `from_estimator` takes a fitted estimator of skae, a fitted `Pipeline` that
ends with one, or a fitted search over either. X is what this estimator takes.
"""

from skae.inspection.ascent import maximize_activation
from skae.inspection.codes import code_statistics, latent_traversal
from skae.inspection.displays import (
    ComponentsDisplay,
    FeatureDisplay,
    LatentSpaceDisplay,
    LossCurveDisplay,
    ReconstructionDisplay,
    SearchDisplay,
)
from skae.inspection.features import code_sensitivities, feature_contribution
from skae.inspection.layers import activations, max_activating_samples, weight_images
from skae.inspection.losses import loss_curves

__all__ = [
    "ComponentsDisplay",
    "FeatureDisplay",
    "LatentSpaceDisplay",
    "LossCurveDisplay",
    "ReconstructionDisplay",
    "SearchDisplay",
    "activations",
    "code_sensitivities",
    "code_statistics",
    "feature_contribution",
    "latent_traversal",
    "loss_curves",
    "max_activating_samples",
    "maximize_activation",
    "weight_images",
]
