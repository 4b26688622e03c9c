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

    with pytest.raises(SystemExit, match="The same command goes on"):
        run(measure)
    measured.append("interrupt")
    rows = run(measure)
    assert measured == ["a", "b", "interrupt", "c"]
    assert [row["figure"] for row in rows] == [1, 2, 4]


def test_a_failure_is_a_row_that_says_so_and_is_tried_again(results, capsys):
    def measure(**case):
        if case["set"] == "b":
            raise ValueError("negative counts")
        return {"figure": 1}

    rows = run(measure)
    assert [row.get("error") for row in rows] == [None, "ValueError: negative counts", None]
    assert "Failed: set b, seed 0: ValueError: negative counts" in capsys.readouterr().out
    mended = run(lambda **case: {"figure": 2})
    assert [row["figure"] for row in mended] == [1, 2, 1]


def figures(results):
    return [row.get("figure") for row in json.loads((results / "trial.json").read_text())["rows"]]


def test_again_measures_anew_and_keeps_other_cases(results):
    run(lambda **case: {"figure": 1})
    run(lambda **case: {"figure": 2}, cases=CASES[:1], again=True)
    assert figures(results) == [2, 1, 1]


def test_rows_under_other_settings_are_dropped_only_on_request(results):
    run(lambda **case: {"figure": 1})

    def under_other_settings(**options):
        return crossing.run(
            "trial", CASES[:1], lambda **case: {"figure": 3}, settings={"rows": 20}, **options
        )

    with pytest.raises(SystemExit, match="holds rows under other settings"):
        under_other_settings()
    assert figures(results) == [1, 1, 1]
    under_other_settings(again=True)
    assert figures(results) == [3]


def test_where_nothing_could_be_measured_the_run_fails(results):
    def measure(**case):
        raise KeyError("nosuch")

    with pytest.raises(SystemExit, match="Every case failed"):
        run(measure)
    # A failed row stays beside what another run measures.
    run(lambda **case: {"figure": 1}, cases=CASES[:2])
    assert figures(results) == [1, 1, None]


def test_rows_that_another_run_adds_meanwhile_are_kept(results):
    def measure(**case):
        if case["set"] == "a":
            run(lambda **case: {"figure": 2}, cases=CASES[1:2])
        return {"figure": 1}

    run(measure, cases=[CASES[0], CASES[2]])
    assert figures(results) == [2, 1, 1]


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
