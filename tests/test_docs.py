"""The snippets that a reader would paste are run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def snippets(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)


# The README's grid search takes a minute; tests/test_old_scripts.py runs its like.
SNIPPETS = [
    *[snippet for snippet in snippets("README.md") if "GridSearchCV" not in snippet],
    *snippets("docs/before_tsne.md"),
    *snippets("docs/choosing_the_strength.md"),
    *snippets("docs/generating.md"),
]


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_snippet(snippet):
    exec(compile(snippet, "snippet", "exec"), {})
