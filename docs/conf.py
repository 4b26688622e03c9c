"""Sphinx's configuration. `make docs` builds the site without network access."""

from __future__ import annotations

import re

import matplotlib
from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx

import skae

matplotlib.use("agg")

project = "skae"
author = "the skae developers"
project_copyright = author
version = release = skae.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["notes", "api/generated/backreferences"]
templates_path = ["_templates"]

# Markdown. Links to headings use GitHub's anchors, as in the repository.
myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
myst_heading_anchors = 3
myst_update_mathjax = False

# Reference. Single backticks in docstrings are names, as in scikit-learn.
default_role = "literal"
autosummary_generate = True
toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_attributes_as_param_list = True

# Gallery.
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "backreferences_dir": "api/generated/backreferences",
    "doc_module": ("skae",),
    "reference_url": {"skae": None},
    "abort_on_example_error": False,
    "copyfile_regex": r".*\.rst",
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
    "remove_config_comments": True,
    "within_subsection_order": "FileNameSortKey",
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"

# Pages.
html_theme = "pydata_sphinx_theme"
html_title = "skae"
html_static_path = ["_static"]
html_css_files = ["skae.css"]
html_sidebars = {"**": ["all-pages.html"]}
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": f"skae {release}"},
    "navbar_center": [],
    "navbar_end": ["theme-switcher"],
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}

# Mathematics becomes MathML when the site is built: browsers draw it without scripts or web fonts.
html_math_renderer = "mathml"


def visit_math(translator: object, node: nodes.Element) -> None:
    """Write a formula, in a line or displayed, as MathML."""
    is_block = isinstance(node, nodes.math_block)
    text = node.astext()
    if is_block and re.search(r"\\\\|(?<!\\)&", text) and "\\begin" not in text:
        text = rf"\begin{{aligned}}{text}\end{{aligned}}"
    formula = convert(text, display="block" if is_block else "inline")
    translator.body.append(f'<div class="formula">{formula}</div>' if is_block else formula)
    raise nodes.SkipNode


def tidy(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list) -> None:
    """Escape names such as `n_iter_` in types, and unlink labels of scikit-learn's own site."""
    shape = re.compile(r"(?:shape|length) (\([^)]*\)|\w+)")
    lines[:] = [shape.sub(lambda match: re.sub(r"_\b", r"\_", match[0]), line) for line in lines]
    text = re.sub(r"docs/(\w+)\.md", r":doc:`/\1`", "\n".join(lines))
    text = re.sub(r":(?:ref|term):`([^<`]+?)(\s*<[^>`]+>)?`", r"\1", text)
    lines[:] = text.split("\n")


def skip(app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object) -> bool:
    """Leave out defaults of parameters, and the property `predict`, which only explains itself."""
    return skip or not callable(obj)


def setup(app: Sphinx) -> None:
    """Register the functions above."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))
    app.connect("autodoc-process-docstring", tidy, priority=400)
    app.connect("autodoc-skip-member", skip)
