"""The snippets that a reader would paste are run, and the README names every class."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from instances import shorten_fits

import skae

ROOT = Path(__file__).parents[1]


def snippets(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)


# The README's grid search takes a minute; tests/test_old_scripts.py runs its like.
SNIPPETS = [
    *[snippet for snippet in snippets("README.md") if "GridSearchCV" not in snippet],
    *snippets("docs/before_tsne.md"),
    *snippets("docs/choosing_the_strength.md"),
    *snippets("docs/generating.md"),
    *snippets("docs/looking_inside.md"),
    *snippets("docs/never_worse_than_pca.md"),
]


@pytest.fixture
def few_epochs(monkeypatch):
    """Make few epochs the default: what a snippet prints is not compared with anything."""
    shorten_fits(monkeypatch, 3)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_snippet(snippet, few_epochs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # for what a snippet saves
    exec(compile(snippet, "snippet", "exec"), {})


@pytest.mark.parametrize("name", [name for name in skae.__all__ if name != "__version__"])
def test_the_readme_names_every_class(name):
    assert f"`{name}`" in (ROOT / "README.md").read_text()


def test_the_report_is_short_and_has_a_page_for_each_display(few_epochs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = snippets("docs/looking_inside.md")[0]
    assert report.count("\n") <= 20
    exec(compile(report, "report", "exec"), {})
    pages = re.findall(rb"/Type /Page\b", (tmp_path / "report.pdf").read_bytes())
    assert len(pages) == 4
