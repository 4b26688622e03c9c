"""The page that shows how to add a method is run, so that it cannot drift."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from sklearn.base import clone

PAGE = Path(__file__).parents[1] / "docs" / "adding_a_method.md"


@pytest.fixture(scope="module")
def method():
    (source,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    module = ModuleType("adding_a_method")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    exec(compile(source, str(PAGE), "exec"), module.__dict__)
    yield module.RidgeCodeAutoencoder
    del sys.modules[module.__name__]


def test_a_stronger_penalty_gives_a_smaller_code(method, iris):
    def size(alpha: float) -> float:
        model = method(2, alpha=alpha, early_stopping=False, shortcut=None, random_state=0)
        return model.fit(iris).history_["penalty"][-1] / alpha

    assert size(1.0) < 0.5 * size(0.01)


def test_it_has_all_that_estimators_have(method, iris):
    model = method(2, max_iter=3, random_state=0).fit(iris)
    assert set(model.history_) == {"reconstruction", "penalty"}
    assert clone(model).get_params()["alpha"] == 0.1
    with pytest.raises(ValueError, match="The 'alpha' parameter"):
        method(2, alpha=-1.0).fit(iris)
