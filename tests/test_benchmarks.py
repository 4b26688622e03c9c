"""The benchmarks' own machinery: a run that stops, fails or is repeated, and its statistics."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import chi2

pytest.importorskip("rich")

from benchmarks import crossing, record
from benchmarks.maps import preservation, scores, vote_accuracy
from benchmarks.pipeline import against_pca, grid, mcnemar
from skae import Autoencoder

CASES = [{"set": name, "seed": 0} for name in ("a", "b", "c")]


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    return tmp_path


def run(measure, cases=CASES, **options):
    return crossing.run("trial", cases, measure, settings={"rows": 10}, **options)


def test_an_interrupted_run_goes_on_where_it_stopped(results):
    measured = []

    def measure(**case):
        if case["set"] == "c" and len(measured) == 2:
            raise KeyboardInterrupt
        measured.append(case["set"])
        return {"figure": len(measured)}

    with pytest.raises(KeyboardInterrupt):
        run(measure)
    measured.append("interrupt")
    rows = run(measure)
    assert measured == ["a", "b", "interrupt", "c"]
    assert [row["figure"] for row in rows] == [1, 2, 4]


def test_a_failure_is_a_row_that_says_so_and_is_tried_again(results):
    def measure(**case):
        if case["set"] == "b":
            raise ValueError("negative counts")
        return {"figure": 1}

    rows = run(measure)
    assert [row.get("error") for row in rows] == [None, "ValueError: negative counts", None]
    mended = run(lambda **case: {"figure": 2})
    assert [row["figure"] for row in mended] == [1, 2, 1]


def test_other_settings_and_again_measure_anew_and_keep_other_cases(results):
    run(lambda **case: {"figure": 1})
    run(lambda **case: {"figure": 2}, cases=CASES[:1], again=True)
    content = json.loads((results / "trial.json").read_text())
    assert [row["figure"] for row in content["rows"]] == [2, 1, 1]
    other = crossing.run("trial", CASES[:1], lambda **case: {"figure": 3}, settings={"rows": 20})
    assert [row["figure"] for row in other] == [3]


def bits(right):
    return np.packbits(np.array(right, dtype=bool)).tobytes().hex()


def test_mcnemar_is_near_its_large_sample_form():
    only_a, only_b, both = 260, 200, 1540
    a = [1] * only_a + [0] * only_b + [1] * both
    b = [0] * only_a + [1] * only_b + [1] * both
    statistic = (abs(only_a - only_b) - 1) ** 2 / (only_a + only_b)
    assert_allclose(mcnemar(bits(a), bits(b)), chi2(1).sf(statistic), rtol=0.02)
    assert mcnemar(bits(a), bits(a)) == 1.0


def test_wins_and_losses_against_pca():
    def row(name, method, right):
        cell = {"score": float(np.mean(right)), "right": bits(right)}
        return {"set": name, "method": method, "estimators": {"k-NN": cell}}

    half, most = [1, 0] * 100, [1] * 180 + [0] * 20
    found = [row("a", "PCA", half), row("b", "PCA", most), row("c", "PCA", half)]
    found += [row("a", "other", most), row("b", "other", half), row("c", "other", half)]
    (summary,) = against_pca([*found, {"set": "a", "method": "broken", "error": "no"}])
    assert (summary["win"], summary["tie"], summary["loss"]) == (1, 1, 1)
    assert (summary["won_surely"], summary["lost_surely"]) == (["a"], ["b"])


def test_the_search_holds_each_size_at_default_strength_and_others():
    found = grid("Autoencoder", 40)
    assert found["reduce__n_components"] == [10, 20]
    assert len(found["reduce__weight_decay"]) > 1
    assert found["reduce__weight_decay"][0] == Autoencoder().weight_decay


def test_a_map_that_is_the_data_keeps_everything():
    points = np.random.default_rng(0).normal(size=(120, 2))
    labels = points[:, 0] > 0
    found = scores(points, points, labels, seed=0)
    assert found["trustworthiness_12"] == found["continuity_50"] == found["preservation_12"] == 1
    shuffled = np.random.default_rng(1).permutation(points)
    assert preservation(points, shuffled, 12) < 0.3
    assert vote_accuracy(points, labels) > vote_accuracy(shuffled, labels)
