"""Tests of the benchmarks: the runner, the statistics and the structure of the modules."""

from __future__ import annotations

import ast
import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import chi2

pytest.importorskip("rich")
pytest.importorskip("matplotlib")

import benchmarks
from benchmarks import record, report, runner
from benchmarks.catalogue import MODULES, entries
from benchmarks.maps import knn_accuracy, map_scores, preservation
from benchmarks.pipeline import against_pca, grid, mcnemar
from benchmarks.runner import Benchmark, several
from benchmarks.tables import Table, markdown, plain_text, render
from skae import Autoencoder

FOLDER = Path(benchmarks.__file__).parent
CASES = [{"set": name, "seed": 0} for name in ("a", "b", "c")]


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    return tmp_path


def run(measure, cases=CASES, **options):
    content = runner.resume("trial", cases, measure, settings={"rows": 10}, **options)
    return content["rows"]


def test_an_interrupted_run_continues_with_the_missing_cases(results):
    measured = []

    def measure(**case):
        if case["set"] == "c" and len(measured) == 2:
            raise KeyboardInterrupt
        measured.append(case["set"])
        return {"figure": len(measured)}

    with pytest.raises(SystemExit, match="Run the same command again to continue"):
        run(measure)
    measured.append("interrupt")
    rows = run(measure)
    assert measured == ["a", "b", "interrupt", "c"]
    assert [row["figure"] for row in rows] == [1, 2, 4]


def test_a_failed_case_is_recorded_and_measured_again(results, capsys):
    def measure(**case):
        if case["set"] == "b":
            raise ValueError("negative counts")
        return {"figure": 1}

    rows = run(measure)
    assert [row.get("error") for row in rows] == [None, "ValueError: negative counts", None]
    assert "Failed: set b, seed 0: ValueError: negative counts" in capsys.readouterr().out
    repeated = run(lambda **case: {"figure": 2})
    assert [row["figure"] for row in repeated] == [1, 2, 1]


def figures(results):
    return [row.get("figure") for row in json.loads((results / "trial.json").read_text())["rows"]]


def test_again_repeats_the_given_cases_only(results):
    run(lambda **case: {"figure": 1})
    run(lambda **case: {"figure": 2}, cases=CASES[:1], again=True)
    assert figures(results) == [2, 1, 1]


def test_rows_with_other_settings_are_discarded_only_with_again(results):
    run(lambda **case: {"figure": 1})

    def with_other_settings(**options):
        return runner.resume(
            "trial", CASES[:1], lambda **case: {"figure": 3}, settings={"rows": 20}, **options
        )

    with pytest.raises(SystemExit, match="has rows with other settings"):
        with_other_settings()
    assert figures(results) == [1, 1, 1]
    with_other_settings(again=True)
    assert figures(results) == [3]


def test_a_run_fails_if_every_case_fails(results):
    def measure(**case):
        raise KeyError("nosuch")

    with pytest.raises(SystemExit, match="Every case failed"):
        run(measure)
    # Failed rows stay in the file.
    run(lambda **case: {"figure": 1}, cases=CASES[:2])
    assert figures(results) == [1, 1, None]


def test_rows_of_a_concurrent_run_are_kept(results):
    def measure(**case):
        if case["set"] == "a":
            run(lambda **case: {"figure": 2}, cases=CASES[1:2])
        return {"figure": 1}

    run(measure, cases=[CASES[0], CASES[2]])
    assert figures(results) == [2, 1, 1]


def bits(right):
    return np.packbits(np.array(right, dtype=bool)).tobytes().hex()


def test_mcnemar_agrees_with_the_chi_squared_approximation():
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


def test_the_grid_includes_the_default_strength():
    found = grid("Autoencoder", 40)
    assert found["reduce__n_components"] == [10, 20]
    assert len(found["reduce__weight_decay"]) > 1
    assert found["reduce__weight_decay"][0] == Autoencoder().weight_decay


def test_scores_of_a_map_that_equals_the_data():
    points = np.random.default_rng(0).normal(size=(120, 2))
    labels = points[:, 0] > 0
    found = map_scores(points, points, labels, seed=0)
    assert found["trustworthiness_12"] == found["continuity_50"] == found["preservation_12"] == 1
    shuffled = np.random.default_rng(1).permutation(points)
    assert preservation(points, shuffled, 12) < 0.3
    assert knn_accuracy(points, labels) > knn_accuracy(shuffled, labels)


def square(options, value):
    return {"square": value**2, "seeds": list(options.seeds)}


def halves(options, value):
    return ({"half": value / n} for n in (2, 4))


TRIAL = Benchmark(
    module="trial",
    cases=lambda options: [{"value": value} for value in options.values],
    measure=square,
    settings=lambda options: {"limit": options.rows},
    summarise=lambda rows, options: {"total": sum(row["square"] for row in rows)},
    section=["At most {settings[limit]} rows.", Table("value | squared = square")],
    options={"--values": (1, 2), "--methods": several("ab"), "--level": float, "--flag": False},
    seeds=(0, 1),
    rows=10,
)


def test_a_benchmark_writes_rows_summary_and_settings(results, capsys):
    content = TRIAL.main(["--values", "2", "3", "--name", "other", "--seeds", "4"])
    assert content == record.read("other")
    assert content["rows"] == [
        {"value": 2, "square": 4, "seeds": [4]},
        {"value": 3, "square": 9, "seeds": [4]},
    ]
    assert content["summary"] == {"total": 13}
    assert content["settings"] == {"limit": 10, "seeds": [4]}
    assert {"date", "git_revision", "versions", "cores"} <= content["environment"].keys()
    assert "At most 10 rows.\n\nvalue  squared\n" in capsys.readouterr().out


def test_an_iterable_from_a_case_yields_complete_rows(results):
    trial = replace(TRIAL, measure=halves, summarise=lambda rows, options: {})
    rows = trial.main(["--values", "4"])["rows"]
    assert rows == [{"half": 2.0}, {"half": 1.0}]


def test_option_types_follow_from_the_defaults():
    parser = TRIAL.parser()
    options = parser.parse_args([])
    assert (options.values, options.methods, options.level) == ([1, 2], ["a", "b"], None)
    assert (options.flag, options.seeds, options.rows) == (False, [0, 1], 10)
    options = parser.parse_args(["--methods", "b", "--level", "0.5", "--flag", "--rows", "7"])
    assert (options.methods, options.level, options.flag, options.rows) == (["b"], 0.5, True, 7)
    with pytest.raises(SystemExit):
        parser.parse_args(["--methods", "c"])


def test_sections_are_rendered_from_strings_tables_and_functions():
    content = {
        "settings": {"n": 2},
        "rows": [{"part": "a", "some_key": 0.12345, "ok": True}, {"part": "b", "some_key": 123.4}],
    }
    section = [
        "n is {settings[n]}.",
        Table(
            ["some_key | exact = some_key:.1f", ("fine", lambda row: row["ok"])],
            part="a",
            caption="n: {settings[n]}",
        ),
        Table("some_key", part="absent", caption="left out"),
        lambda content: ["{kept}", Table("some_key", part="b")],
    ]
    assert render(section, content, markdown).split("\n\n") == [
        "n is 2.",
        "n: 2",
        "| some key | exact | fine |\n| --- | --- | --- |\n| 0.123 | 0.1 | yes |",
        "{kept}",
        "| some key |\n| --- |\n| 123 |",
    ]
    assert plain_text(["", "x"], [["a", 1.0], ["bc", None]]) == (
        "       x\n--  ----\na   1.00\nbc     -"
    )


def functions(path):
    tree = ast.parse(path.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def test_main_functions_are_short():
    for path in FOLDER.glob("*.py"):
        for function in functions(path):
            if function.name == "main":
                assert function.end_lineno - function.lineno < 30, path.name


def test_the_report_only_walks_over_declared_sections():
    assert len((FOLDER / "report.py").read_text().splitlines()) <= 170


def test_the_pages_are_those_that_the_report_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "PAGES", tmp_path)
    report.write_pages()
    written = {path.name: path.read_text() for path in (tmp_path / "results").glob("*.md")}
    kept = (FOLDER.parent / "docs" / "results").glob("*.md")
    assert written == {path.name: path.read_text() for path in kept}


def test_every_result_has_a_declared_section():
    declared = [run.name for _, run in entries() if run.title]
    assert len(declared) == len(set(declared))
    results = {path.stem for path in (FOLDER / "results").glob("*.json")}
    assert results == set(declared)


def test_every_benchmark_is_in_the_catalogue():
    modules = {path.stem for path in FOLDER.glob("*.py") if "\nBENCHMARK = " in path.read_text()}
    assert modules == set(MODULES)


@pytest.mark.parametrize(("trial", "run"), entries())
def test_published_and_quick_arguments_are_valid(trial, run):
    for quick in ("", run.quick or ""):
        _, *arguments = shlex.split(f"{trial.command(run)} {quick}")
        options = trial.parser().parse_args(arguments)
        assert options.name == run.name
