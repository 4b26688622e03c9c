"""Measurements behind the project's claims: one script a question, results kept as JSON files.

Run a script from the project's root, for instance ``python -m benchmarks.pca``. Data sets, the
record's format and the environment that it names are declared once, in `datasets` and `record`.
"""
