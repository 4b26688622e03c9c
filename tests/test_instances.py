"""The list of estimators is complete."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest
from instances import ESTIMATORS
from sklearn.base import BaseEstimator

import skae


def estimators_in_the_package() -> set[type]:
    """Return every public estimator class that a module of skae defines, without base classes."""
    found = set()
    for module in pkgutil.walk_packages(skae.__path__, "skae."):
        if module.name.startswith("skae.core"):
            continue
        for name, cls in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            is_public = not name.startswith(("_", "Base"))
            if is_public and issubclass(cls, BaseEstimator) and cls.__module__ == module.name:
                found.add(cls)
    return found


def test_every_public_estimator_is_exported_and_listed():
    assert set(ESTIMATORS) == estimators_in_the_package()
    assert ESTIMATORS


def test_every_exported_name_exists():
    assert all(hasattr(skae, name) for name in skae.__all__)
    assert set(skae.__all__) <= set(dir(skae))


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Autoencodr'"):
        _ = skae.Autoencodr


def test_metrics_come_with_the_package():
    program = "import skae; print(skae.metrics.masked_imputation_score.__name__)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "masked_imputation_score"
