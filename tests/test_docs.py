"""The documentation: its snippets run, its links have targets, and the README names every class."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from instances import shorten_fits
from sklearn.manifold import TSNE

import skae

ROOT = Path(__file__).parents[1]
# What `make docs` writes is not a source.
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(
        page
        for page in sorted((ROOT / "docs").rglob("*.md"))
        if not {"auto_examples", "generated", "notes"} & {*page.relative_to(ROOT).parts}
    ),
]
# tests/test_adding_a_method.py runs the snippets of this page.
_RUN_ELSEWHERE = ROOT / "docs" / "adding_a_method.md"


def snippets(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)


SNIPPETS = [
    pytest.param(snippet, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    if page != _RUN_ELSEWHERE
    for number, snippet in enumerate(snippets(page))
]


@pytest.fixture
def few_epochs(monkeypatch):
    """Make few iterations the default: what a snippet prints is not compared with anything."""
    shorten_fits(monkeypatch, 3)
    monkeypatch.setitem(TSNE.__init__.__kwdefaults__, "max_iter", 250)


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_snippet(snippet, few_epochs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # for what a snippet saves
    exec(compile(snippet, "snippet", "exec"), {})


def without_code(page: Path) -> str:
    """Return the text of a page without blocks of code and without directives of Sphinx."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings, formed as GitHub and MyST do."""
    titles = re.findall(r"^#+ (.*)$", without_code(page), flags=re.MULTILINE)
    titles = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in titles]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def is_missing(page: Path, link: str) -> bool:
    """Whether a link names no file, or no heading of a file."""
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    if not target.exists():
        return True
    return bool(anchor) and target.suffix == ".md" and anchor not in anchors(target)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_to_files_and_headings(page):
    links = re.findall(r"\]\(([^)\s]+)\)", without_code(page))
    relative = [link for link in links if not re.match(r"https?:|mailto:|/?auto_examples/", link)]
    assert [link for link in relative if is_missing(page, link)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_examples_lead_to_scripts(page):
    link = r"auto_examples/(?:images/(?:thumb/)?sphx_glr_)?(plot_[a-z_]*[a-z])"
    names = re.findall(link, page.read_text())
    assert [name for name in names if not (ROOT / "examples" / f"{name}.py").exists()] == []


def is_public(name: str) -> bool:
    """Whether a dotted name below `skae` is a module, a class, a function or a method."""
    found: object = skae
    for part in name.split(".")[1:]:
        found = getattr(found, part, None)
    return found is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_references_lead_to_public_names(page):
    """Sphinx leaves a role without target as plain text."""
    roles = r"\{(?:py:)?(?:class|func|meth|attr|obj|mod)\}`~?(skae[\w.]*)`"
    names = re.findall(roles, page.read_text())
    assert [name for name in names if not is_public(name)] == []


@pytest.mark.parametrize("name", [name for name in skae.__all__ if name != "__version__"])
def test_the_readme_and_the_help_name_every_class(name):
    assert f"`{name}`" in (ROOT / "README.md").read_text()
    assert f"`{name}`" in skae.__doc__


def test_the_report_is_short_and_has_a_page_for_each_display(few_epochs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = snippets(ROOT / "docs" / "looking_inside.md")[0]
    assert report.count("\n") <= 20
    exec(compile(report, "report", "exec"), {})
    pages = re.findall(rb"/Type /Page\b", (tmp_path / "report.pdf").read_bytes())
    assert len(pages) == 4
