"""Displays in the style of scikit-learn: `from_estimator` computes and draws, `plot` draws again."""
