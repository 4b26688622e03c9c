"""Benchmarks. Each module declares one, and `benchmarks.catalogue` lists them.

Run them from the root of the repository, for instance ``python -m benchmarks.pca``.
"""
