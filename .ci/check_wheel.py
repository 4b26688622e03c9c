"""Check an installed skae: where it lies, what it contains, and that it fits a model."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from importlib import metadata
from pathlib import Path

import numpy as np

import skae

package = Path(skae.__file__).resolve().parent
assert package.is_relative_to(Path(sys.prefix).resolve()), f"{package} is outside {sys.prefix}"
assert (package / "py.typed").is_file(), "py.typed is missing: type checkers would ignore skae"
names = [file.name for file in metadata.files("skae") or []]
assert "LICENSE" in names, "LICENSE is missing"
for module in pkgutil.walk_packages(skae.__path__, "skae."):
    importlib.import_module(module.name)

X = np.random.default_rng(0).normal(size=(60, 5)) @ np.ones((5, 8))
autoencoder = skae.Autoencoder(2, hidden_layer_sizes=(8,), max_iter=5, random_state=0).fit(X)
assert autoencoder.transform(X).shape == (60, 2)
assert autoencoder.inverse_transform(autoencoder.transform(X)).shape == X.shape
print(f"skae {metadata.version('skae')} from {package}: imports, fits and transforms.")
