"""Displays in the style of scikit-learn: `from_estimator` computes, `plot` draws."""
