"""The shape of the package: short files, short functions, few hooks, few functions in a fit."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from instances import AUTOENCODERS
from trace_calls import traces

import skae
from skae.base import BaseAutoencoder

PACKAGE = Path(skae.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
HOOKS = re.findall(r"^- `(_\w+)`:", skae.base.__doc__, flags=re.MULTILINE)


def lines_of_code(function: ast.FunctionDef, text: str) -> int:
    """Return the number of lines with code, without signature, docstring and comments."""
    body = function.body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    if not body:
        return 0
    lines = text.splitlines()[body[0].lineno - 1 : body[-1].end_lineno]
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in lines)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_are_short(path):
    text = path.read_text()
    assert text.count("\n") <= 350
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert lines_of_code(node, text) <= 60, node.name


def overridden(cls: type) -> set[str]:
    """Return the private methods of the base class that a method overrides."""
    names = {
        name
        for ancestor in cls.__mro__
        if ancestor.__module__.startswith("skae.estimators")
        for name, value in vars(ancestor).items()
        if callable(value) and name.startswith("_") and not name.startswith("__")
    }
    return {name for name in names if hasattr(BaseAutoencoder, name)}


def test_there_are_eight_hooks_and_the_base_documents_them():
    assert len(HOOKS) == 8
    for name in HOOKS:
        assert getattr(BaseAutoencoder, name).__doc__


@pytest.mark.parametrize("cls", AUTOENCODERS, ids=lambda cls: cls.__name__)
def test_a_method_overrides_hooks_only(cls):
    assert overridden(cls) <= set(HOOKS)


@pytest.mark.parametrize("name", sorted({*HOOKS} - {"_corruption", "_n_epochs"}))
def test_a_hook_has_two_users(name):
    """Except for two: corruptions are for new methods too, epochs for the supervised ones."""
    assert sum(name in overridden(cls) for cls in AUTOENCODERS) >= 2


def test_a_default_fit_runs_through_few_functions():
    limits = {"fit": (149, 21), "transform": (33, 7)}
    for name, files in traces():
        n_functions = sum(map(len, files.values()))
        assert n_functions <= limits[name][0], name
        assert len(files) <= limits[name][1], name
