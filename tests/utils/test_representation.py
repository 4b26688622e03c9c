"""scikit-learn's HTML representation: links to the documentation, and what was selected."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from instances import ESTIMATORS, FAST_INSTANCES
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr

from skae import Autoencoder
from skae.utils.representation import DOCUMENTATION

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("cls", ESTIMATORS, ids=lambda cls: cls.__name__)
def test_the_representation_links_to_the_page_of_the_class(cls):
    page = f"{DOCUMENTATION}/api/generated/skae.{cls.__name__}.html"
    assert f'href="{page}"' in estimator_html_repr(cls())
    # The pages that Sphinx generates are those of the names on this page.
    assert f"   {cls.__name__}\n" in (ROOT / "docs" / "api" / "index.md").read_text()


def test_there_is_one_address():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["urls"]["Documentation"] == DOCUMENTATION


def test_a_method_of_another_package_has_no_link():
    class Mine(Autoencoder):
        __module__ = "another.package"

    assert Mine()._get_doc_link() == ""


def attributes(html: str) -> list[str]:
    """Return the names in the tables of fitted attributes."""
    table = html.partition("<summary>Fitted attributes</summary>")[2].partition("</table>")[0]
    return re.findall(r'class="param-doc-link"[^>]*>\s*(\w+_)\b', table)


def test_the_representation_of_a_fit_begins_with_the_decision(iris):
    autoencoder = Autoencoder(1, max_iter=5, random_state=0).fit(iris)
    html = estimator_html_repr(autoencoder)
    assert attributes(html)[:4] == [
        "selected_",
        "validation_ratio_",
        "validation_ratio_interval_",
        "validation_improved_",
    ]
    assert f"{autoencoder.validation_ratio_:.4g}" in html
    assert sorted(attributes(html)) == sorted(set(attributes(html)))
    pipeline = make_pipeline(StandardScaler(), autoencoder).fit(iris)
    assert DOCUMENTATION in estimator_html_repr(pipeline)


@pytest.mark.parametrize(
    "estimator", FAST_INSTANCES, ids=lambda estimator: type(estimator).__name__
)
def test_every_fitted_estimator_has_a_representation(estimator, iris):
    if hasattr(estimator, "image_shape"):
        estimator = clone(estimator).set_params(image_shape=(2, 2))
    fitted = clone(estimator).fit(iris, [0, 1] * 75)
    assert "n_features_in_" in attributes(estimator_html_repr(fitted))
