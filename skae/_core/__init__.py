"""The torch core: networks, losses, solvers and the training loop.

Nothing here knows scikit-learn; `tests/core/test_imports.py` holds that line.
"""
