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
SHARED = {
    "_base",
    "_callbacks",
    "_docs",
    "_generation",
    "_hamming",
    "_runs",
    "_sparse_input",
    "_preparation",
    "_validation",
    "metrics",
}

# What stands on top of the methods; the default autoencoder is one of them.
ABOVE = {"_supervised"}


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


def variants() -> list[str]:
    """Files that hold one method each: those that use the base but nobody's helper."""
    return sorted(
        path.stem
        for path in PACKAGE.glob("_*.py")
        if path.stem not in SHARED | ABOVE | {"__init__"} and "skae._base" in imported_modules(path)
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
    assert "_autoencoder" in variants()


@pytest.mark.parametrize("shared", sorted(SHARED))
def test_shared_files_do_not_import_variants(shared):
    path = PACKAGE / f"{shared}.py"
    found = imported_modules(path) if path.exists() else set()
    assert not {f"skae.{variant}" for variant in variants()} & found


@pytest.mark.parametrize("variant", variants())
def test_variants_do_not_import_each_other(variant):
    others = {f"skae.{other}" for other in variants() if other != variant}
    assert not others & imported_modules(PACKAGE / f"{variant}.py")
