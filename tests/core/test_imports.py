"""The core stands alone, and imports run one way: variants -> _base -> _core."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import skae

PACKAGE = Path(skae.__file__).parent
CORE_MODULES = sorted(
    f"skae._core.{path.stem}".removesuffix(".__init__") for path in (PACKAGE / "_core").glob("*.py")
)
# What stands on top of the methods: it may import them.
ABOVE = {"__init__", "_estimators", "_supervised"}


def imported_modules(path: Path) -> set[str]:
    """Modules of skae that a file imports, wherever in it the import stands."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] == "skae"}


BELOW = {path.stem for path in PACKAGE.glob("*.py")} - ABOVE
# Files that hold one method each: those that use the base.
VARIANTS = sorted(
    name for name in BELOW if "skae._base" in imported_modules(PACKAGE / f"{name}.py")
)


def test_core_does_not_import_scikit_learn_or_scipy():
    program = f"""
import importlib, sys
for module in {CORE_MODULES!r}:
    importlib.import_module(module)
print(sorted(m for m in sys.modules if m.split(".")[0] in {{"sklearn", "scipy", "pandas"}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_core_imports_only_itself_torch_and_the_standard_library():
    for path in (PACKAGE / "_core").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            for module in modules:
                allowed = {"skae", "torch"} | sys.stdlib_module_names
                assert module.split(".")[0] in allowed, f"{path.name} imports {module}"


def test_core_does_not_import_the_rest_of_the_package():
    for path in (PACKAGE / "_core").glob("*.py"):
        outside = {
            name
            for name in imported_modules(path)
            if name != "skae" and not name.startswith("skae._core")
        }
        assert not outside, f"{path.name} imports {outside}"


def test_there_is_a_variant():
    assert "_autoencoder" in VARIANTS


@pytest.mark.parametrize("name", sorted(BELOW))
def test_no_file_below_imports_a_variant(name):
    variants = {f"skae.{variant}" for variant in VARIANTS}
    assert not variants & imported_modules(PACKAGE / f"{name}.py")
