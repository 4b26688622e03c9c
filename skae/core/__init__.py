"""The PyTorch core: networks, losses, criteria, optimizers and the training loop.

Nothing here imports scikit-learn; `tests/core/test_imports.py` checks this.
"""
