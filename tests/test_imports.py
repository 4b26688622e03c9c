"""Imports run one way, from the estimators down to the core, and the core stands alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import skae

PACKAGE = Path(skae.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
CORE = sorted((PACKAGE / "core").rglob("*.py"))
# From the top down: a file imports from its own layer or from one below.
LAYERS = (
    "skae.inspection",
    "skae.estimators",
    "skae.base",
    "skae.inference",
    "skae.fitting",
    "skae.utils",
    "skae.core",
)


def module_of(path: Path) -> str:
    parts = ("skae", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts).removesuffix(".__init__")


def imported_modules(path: Path) -> set[str]:
    """Return the modules that a file imports, wherever in it the import stands."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names.add(node.module or "")
    return names


GRAPH = {module_of(path): imported_modules(path) for path in FILES}


def layer_of(module: str) -> int | None:
    for number, layer in enumerate(LAYERS):
        if module == layer or module.startswith(f"{layer}."):
            return number
    return None


def test_core_works_without_scikit_learn_and_scipy():
    modules = [module_of(path) for path in CORE]
    # `import skae` imports everything; a bare package in its place leaves the core alone.
    program = f"""
import importlib, sys, types
package = types.ModuleType("skae")
package.__path__ = [{str(PACKAGE)!r}]
sys.modules["skae"] = package
for module in {modules!r}:
    importlib.import_module(module)
print(sorted(m for m in sys.modules if m.split(".")[0] in {{"sklearn", "scipy", "pandas"}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("module", [module_of(path) for path in CORE])
def test_core_imports_only_itself_torch_and_the_standard_library(module):
    allowed = {"torch"} | sys.stdlib_module_names
    for name in GRAPH[module]:
        assert name.startswith("skae.core") or name.split(".")[0] in allowed, name


@pytest.mark.parametrize("module", [name for name in GRAPH if layer_of(name) is not None])
def test_imports_run_downwards(module):
    above = {
        name
        for name in GRAPH[module]
        if name.startswith("skae.")
        and (layer_of(name) is None or layer_of(name) < layer_of(module))
    }
    assert not above, f"{module} imports {above}"


def test_methods_do_not_import_each_other():
    """Only what is built on a fitted autoencoder imports another method."""
    for module, names in GRAPH.items():
        if module.startswith("skae.estimators."):
            others = {name for name in names if name.startswith("skae.estimators")}
            allowed = {"skae.estimators.autoencoder", "skae.estimators.wrapped"}
            allowed |= {"skae.estimators.supervised"}
            if module == "skae.estimators.imputer":
                allowed |= {"skae.estimators.denoising"}
            assert others <= allowed, f"{module} imports {others}"
            built_on_one = ("wrapped", "supervised", "classifier", "regressor", "imputer")
            assert module.endswith(built_on_one) or not others, f"{module} imports {others}"


def test_no_modules_import_each_other_in_a_circle():
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module in done:
            return
        for name in GRAPH.get(module, ()):
            if name in GRAPH and name != "skae":
                visit(name, (*path, module))
        done.add(module)

    for module in GRAPH:
        if module != "skae":
            visit(module, ())
