"""Helpers: parameter validation, callbacks, warnings, CSR matrices, images, docstrings."""
