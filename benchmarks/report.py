"""Write docs/results.md from the files that the benchmarks left: page and run cannot disagree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import product
from statistics import fmean
from typing import Any

from benchmarks import record
from benchmarks.datasets import PROJECT_ROOT
from benchmarks.jobs import ELSEWHERE, JOBS
from benchmarks.maps import Means, means_over_seeds
from benchmarks.methods import REDUCERS
from benchmarks.record import PAGES
from benchmarks.tsne import recipe

PAGE = PAGES / "results.md"
COMMANDS = {job.name: job.line for job in (*JOBS, *ELSEWHERE)}
PUBLISHED = PAGES == PROJECT_ROOT / "docs"
Content = dict[str, Any]
METHODS = ("raw", *REDUCERS)


def _number(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(map(_number, row)) + " |" for row in rows]
    return "\n".join(lines)


def _provenance(content: Content) -> str:
    environment, settings = content["environment"], content["settings"]
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    # A run that went on where another stopped has rows of several revisions.
    revisions = dict.fromkeys(
        row["revision"] for row in content["rows"] if isinstance(row, dict) and "revision" in row
    )
    revision = ", ".join(revisions) or environment["git_revision"]
    return (
        f"*{environment['date'][:10]}, revision {revision}; "
        f"{environment['processor']}, {environment['cores']} cores; {versions}; "
        f"seeds {', '.join(map(str, settings['seeds']))}.*"
    )


_ERROR_FIGURE = "![Error over PCA's against the seconds of a fit](images/error_against_seconds.png)"


def pca_section(content: Content) -> str:
    """Show whether the autoencoder is ever worse than PCA."""
    summary, settings = content["summary"], content["settings"]
    methods = {"anchored": "`Autoencoder`", "plain": "`Autoencoder(shortcut=None)`"}
    fields = {
        "cases": "cases",
        "cases_worse_than_pca": "worse than PCA by more than 0.5 %",
        "median_ratio": "median ratio",
        "worst_ratio": "worst ratio",
        "fit_seconds_median": "seconds a fit, median",
        "fit_seconds_max": "seconds a fit, maximum",
    }
    totals = _table(
        ["", *methods.values()],
        [[text, *(summary[m][field] for m in methods)] for field, text in fields.items()],
    )
    cases = _table(
        ["set", "features", "training rows", "k", "ratio", "each seed", "plain", "seconds"],
        [
            [
                row["set"],
                row["features"],
                row["rows"],
                row["k"],
                f"{row['anchored_mean']:.3f}",
                " ".join(f"{ratio:.3f}" for ratio in row["anchored"]),
                f"{row['plain_mean']:.3f}",
                sum(row["seconds"]) / len(row["seconds"]),
            ]
            for row in content["rows"]
        ],
    )
    few = settings.get("training_rows")
    return (
        "Held-out squared reconstruction error over PCA's at the same code size; all parameters "
        f"at their defaults, at most {settings['max_rows']} rows a set, standardised, 70 % to "
        + (f"train, of which {few} at most are used. " if few else "train. ")
        + "A case is a set, a code size and a seed. Aims: no case worse, median at most "
        f"0.45. Seconds were taken with {settings['seconds_taken_with']}.\n\n"
        + ("" if few else f"{_ERROR_FIGURE}\n\n")
        + f"{totals}\n\n{cases}"
    )


def hard_rows_section(content: Content) -> str:
    """Show whether the promise holds on rows made to break it."""
    summary = content["summary"]
    table = _table(
        ["rows drawn from", "rows", "median ratio", "worst ratio", "worse than PCA", "PCA kept"],
        [
            [
                row["set"],
                row["rows"],
                f"{row['median']:.3f}",
                f"{row['worst']:.3f}",
                f"{row['worse_than_pca']} of {len(row['ratios'])}",
                f"{row['kept_pca']} of {len(row['ratios'])}",
            ]
            for row in content["rows"]
        ],
    )
    return (
        "Copies of rows, a few large rows, heavy tails: squared reconstruction error of 2,000 "
        "fresh rows over PCA's, two components, all else at its defaults. Of "
        f"{summary['cases']} cases {summary['left_pca']} left PCA; {summary['worse_than_pca']} "
        f"are worse by more than 0.5 %, the worst has {summary['worst']:.2f} times PCA's error."
        f"\n\n{table}"
    )


def default_fit_section(content: Content) -> str:
    """Show how long a fit with default parameters takes."""
    seconds = content["summary"]["default_fit_seconds_k32"]
    aims = {"digits": 3, "mnist": 90}
    table = _table(
        ["set", "seconds of fit", "aim: under", "met", "of transform", "of the encoder alone"],
        [
            [
                name,
                f"{parts['fit']:.1f}",
                aims[name],
                parts["fit"] < aims[name],
                parts["transform"],
                parts["encoder alone"],
            ]
            for name, parts in seconds.items()
        ],
    )
    return (
        "`Autoencoder(32)` on all training rows, nothing else running; then their codes, with and "
        f"without the steps on from the encoder's (`transform_max_iter=0`).\n\n{table}"
    )


def speed_section(content: Content) -> str:
    """Show what a training step costs."""
    rows = _table(
        ["network", "batch", "threads", "method", "µs a step", "over skae", "aim", "met"],
        [
            [
                row["network"],
                row["batch"],
                row["threads"],
                row["method"],
                row["us a step"],
                f"{row['over skae']:.2f}",
                row["aim"],
                row["met"],
            ]
            for row in content["rows"]
        ],
    )
    units = ", ".join(content["summary"]["bfloat16_units"]) or "none"
    return (
        "The same network, batch and optimiser, implementations taking turns in one run; medians "
        f'of {content["settings"]["rounds"]} rounds, ratios of paired rounds. "Over skae" is '
        "another's time over ours, so more than 1 is in our favour; the hand-written step is the "
        f"floor. bfloat16 matrix units of this CPU: {units}.\n\n{rows}"
    )


def mnist30_section(content: Content) -> str:
    """Show the deep autoencoder against the published figure."""
    row, settings = content["rows"][0], content["settings"]
    shown = ", ".join(f"{name}={value!r}" for name, value in settings.items() if name != "seeds")
    table = _table(
        ["model", "test error", "train error", "seconds", "epochs"],
        [
            ["`Autoencoder`", row["test_error"], row["train_error"], row["seconds"], row["epochs"]],
            ["its encoder alone", row["encoder_test_error"], None, None, None],
            ["PCA", row["pca_test_error"], None, None, None],
            ["Hinton & Salakhutdinov 2006", content["summary"]["published"], None, None, None],
        ],
    )
    return (
        "Squared error summed over pixels in [0, 1], mean over the 10,000 test images. Aim: 2.65 "
        f"within 300 s on 2 cores; 2.3 as the stretch. Settings: {shown}.\n\n{table}"
    )


def _part(content: Content, part: str, fields: dict[str, str]) -> str:
    """Lay out the rows of one part, a column a field."""
    rows = [row for row in content["rows"] if row["part"] == part]
    table = [[row[field] for field in fields] for row in rows]
    return _table(list(fields.values()), table) if rows else ""


def sparse_section(content: Content) -> str:
    """Show what zeros cost, whether rates are reached, and what a top-k code is good for."""
    zeros = {
        "set": "set",
        "hidden": "hidden layers",
        "units": "units",
        "alpha": "alpha",
        "zeros": "share of zeros",
        "error": "error (1 - R2)",
        "over_dense": "over dense",
        "seconds": "seconds",
    }
    rates = {
        "rate": "target",
        "mean_activity": "mean activity",
        "least_active": "least active unit",
        "most_active": "most active unit",
        "error": "error (1 - R2)",
    }
    largest = {
        "epochs": "epochs",
        "error": "error (1 - R2)",
        "fewest_non_zeros": "fewest non-zeros",
        "most_non_zeros": "most non-zeros",
        "dead_percent": "dead units, %",
        "seconds": "seconds",
    }
    classified = {
        "features": "features",
        "test_error": "test error, %",
        "published": "published",
        "seconds": "seconds",
    }
    return "\n\n".join(
        [
            'Under "l1", on held-out rows; "over dense" is the error over that of the same network '
            "with `alpha=0`. Aim: at least 80 % zeros at no more than 1.5.",
            _part(content, "l1", zeros),
            'Under "kl", 100 logistic units on digits, held-out rows. Aim: within 20 % of the '
            "target.",
            _part(content, "kl", rates),
            "Top-25 of 1000 units on MNIST. Aims: exactly 25 non-zeros, under 5 % dead units.",
            _part(content, "topk", largest),
            "Logistic regression on that code and on the pixels (published: Makhzani & Frey 2014).",
            _part(content, "topk, logistic regression", classified),
        ]
    )


def denoising_section(content: Content) -> str:
    """Show cleaning, imputation and the score of known densities."""
    cleaning = {
        "noise": "noise",
        "level": "level",
        "denoising": "`DenoisingAutoencoder`",
        "plain": "`Autoencoder`",
        "pca": "PCA",
        "as_it_is": "as it is",
    }
    imputation = {
        "set": "set",
        "features": "features",
        "denoising": "`impute`",
        "iterative": "`IterativeImputer`",
        "simple": "`SimpleImputer`",
        "denoising_seconds": "seconds",
        "iterative_seconds": "`IterativeImputer`, seconds",
    }
    scores = {
        "seed": "seed",
        "one_gaussian": "one Gaussian",
        "two_gaussians": "two Gaussians",
    }
    return "\n\n".join(
        [
            "Corrupted held-out digits, cleaned by codes of 32: squared error over the variance, "
            "mean of the seeds. Each denoiser is trained with the noise that it meets.",
            _part(content, "cleaning", cleaning),
            "30 % of entries missing in training and in fresh rows, features standardised: root "
            "mean squared error on the missing entries of fresh rows, and seconds of fit and "
            f"filling, torch threads: {content['environment']['torch_threads']}. Aim: "
            "`IterativeImputer`'s error or near it in less time.",
            _part(content, "imputation", imputation),
            "Cosine between `score_function` and the exact gradient of log p on fresh rows. Aim: "
            "above 0.95.",
            _part(content, "score function", scores),
        ]
    )


def contractive_section(content: Content) -> str:
    """Show the three regularisations of one layer side by side."""
    settings = content["settings"]
    table = _table(
        [
            "encoder",
            "mean norm of the Jacobian",
            "saturated units",
            "singular values for 90 %",
            "test error, %",
            "published",
            "seconds",
        ],
        [
            [
                row["method"],
                row.get("jacobian_norm"),
                row.get("saturated"),
                row.get("values_for_90_percent"),
                row["test_error"],
                row["published_error"],
                row.get("seconds"),
            ]
            for row in content["rows"]
        ],
    )
    return (
        "MNIST, one layer of 1000 tied logistic units, after Rifai et al. (2011): at test images, "
        "the mean Frobenius norm of the encoder's Jacobian, the share of units within 0.05 of 0 or "
        "1, and how many singular values carry 90 % of the squared norm; then the test error of "
        f"784-1000-10 fine-tuned from that layer. {settings['epochs']} epochs of pre-training and "
        f"{settings['fine_tuning_epochs']} of fine-tuning, far fewer than published; the order is "
        f"what counts.\n\n{table}"
    )


def strength_section(content: Content) -> str:
    """Show which score chooses which penalty."""
    names = list(content["summary"]["best"])
    table = _table(
        ["alpha", *names],
        [[row["alpha"], *(f"{row[name]:.4f}" for name in names)] for row in content["rows"]],
    )
    best = ", ".join(f"{name} {alpha:g}" for name, alpha in content["summary"]["best"].items())
    return (
        f"`GridSearchCV` over `alpha` of `SparseAutoencoder({content['settings']['n_components']})`"
        " on digits, three folds, by the scores of `skae.metrics`. Best alpha: "
        f"{best}.\n\n{table}\n\n![Four scores over alpha](images/strength.png)"
    )


def vae_section(content: Content) -> str:
    """Show log-likelihoods on binarised MNIST beside published ones."""
    settings = content["settings"]
    fields = {
        "part": "",
        "method": "",
        "nll": "negative log-likelihood",
        "published": "published",
        "nll_few": "on 500 rows",
        "negative_elbo": "negative ELBO",
        "active_units": "active units",
        "epochs": "epochs",
        "seconds": "seconds",
    }
    table = _table(list(fields.values()), [[row.get(f) for f in fields] for row in content["rows"]])
    return (
        f"Binarised MNIST, {settings['training_rows']} training rows; nats a row over "
        f"{settings['test_rows']} test rows, by {settings['n_importance']} importance samples; "
        "beside it, where pythae is compared, over the first 500 rows by 500 samples. "
        "Published with 86.76: 19 active units of 50, after "
        f"3280 epochs.\n\n{table}"
    )


def generation_section(content: Content) -> str:
    """Show what the codes of several methods are like."""
    fields = ["log_likelihood", "variance_explained", "prior_match", "interpolation"]
    fields.append("separability")
    table = _table(
        ["", *(field.replace("_", " ") for field in fields)],
        [[row["method"], *(row[field] for field in fields)] for row in content["rows"]],
    )
    return (
        f"Digits, codes of {content['settings']['n_components']}, "
        f"{content['settings']['test_rows']} held-out rows; the scores are those of "
        f"`skae.metrics`, codes in the units of X compared with the prior by shape "
        f"alone.\n\n{table}\n\n![Digits drawn from several codes](images/generation.png)"
    )


def depth_section(content: Content) -> str:
    """Show ways of training a deep network, and what its layers are worth."""
    settings, rows = content["settings"], content["rows"]
    fields = {
        "way": "",
        "test_error": "test error",
        "train_error": "training error",
        "probe_accuracy": "probe",
        "phase_epochs": "epochs a phase",
        "epochs": "epochs of the whole",
    }
    ways = [row for row in rows if row["part"] == "ways"]
    layers = [row for row in rows if row["part"] == "layers"]
    parts = []
    if ways:
        parts += [
            f"MNIST, {settings['training_rows']} rows, 784-500-250-30, about "
            f"{settings['seconds']:.0f} seconds each; error is squared error summed over pixels, "
            "the probe a logistic regression on the code.",
            _table(list(fields.values()), [[row[f] for f in fields] for row in ways]),
        ]
    if layers:
        parts += [
            f"{settings['hard_rows']} digits rotated by any angle on noise; a linear SVM on pixels "
            "and on the layers of a stacked denoising autoencoder, 1000 units each, "
            f"{settings['hard_epochs']} epochs a phase.",
            _table(["", "test error, %"], [[row["features"], row["svm_error"]] for row in layers]),
        ]
    return "\n\n".join(parts)


def labels_section(content: Content) -> str:
    """Show test errors by number of labels."""
    settings, rows = content["settings"], content["rows"]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    counts = list(dict.fromkeys(row["labels"] for row in rows))
    cells = {(row["method"], row["labels"]): row for row in rows}

    def cell(method: str, count: int) -> str:
        row = cells.get((method, count))
        return f"{row['error']:.2f} ± {row['deviation']:.2f}" if row else ""

    table = _table(
        ["labels", *map(str, counts)],
        [[method, *(cell(method, count) for count in counts)] for method in methods],
    )
    saved = ", ".join(
        f"{count} labels {100 * share:.0f} %"
        for count, share in content["summary"]["share_of_errors_saved"].items()
    )
    return (
        f"MNIST, {settings['training_rows']} rows, the rest unlabelled; test error in percent, "
        f"mean and deviation over {len(settings['seeds'])} draws of the labels "
        f"({settings['seeds_with_all_labels']} with all labels). 784-500-500-500, a denoising "
        f"autoencoder of {settings['autoencoder_epochs']} epochs "
        f"({settings['autoencoder_seconds']:.0f} s), then 100 epochs of fine-tuning "
        f"({settings['epochs_with_all_labels']} with all labels). Errors that the better of the "
        "pre-trained saves against the better of the two from random weights: "
        f"{saved}.\n\n{table}"
    )


def conv_section(content: Content) -> str:
    """Show convolutions against dense layers."""
    settings = content["settings"]
    fields = {
        "method": "",
        "parameters": "parameters",
        "epochs": "epochs",
        "seconds": "seconds",
        "error": "test error",
        "knn_accuracy": "k-NN accuracy",
        "transform_rows_a_second": "`transform`, rows a second",
    }
    parts = [
        f"{settings['training_rows']} images, codes of {settings['n_components']}, as many epochs "
        f"as take about {settings['seconds']:.0f} seconds; squared error summed over pixels in "
        "[0, 1], 5 nearest neighbours on the code.",
    ]
    for part in dict.fromkeys(row["part"] for row in content["rows"]):
        parts += [f"### {part}", _part(content, part, fields)]
    return "\n\n".join(parts)


def hashing_section(content: Content) -> str:
    """Show what bits find, how fast, and in how much memory."""
    settings = content["settings"]
    found = {
        "set": "",
        "method": "",
        "bits": "bits",
        "precision": "precision at 100",
        "least_ones": "rarest bit",
        "most_ones": "commonest bit",
        "seconds": "fit and codes, s",
    }
    times = {
        "set": "",
        "rows": "rows",
        "way": "",
        "per_second": "queries a second",
        "over_cosine": "over brute-force cosine",
    }
    return "\n\n".join(
        [
            "Precision at 100: share of the 100 nearest training rows, by Hamming distance, with "
            "the test row's label. Shares of ones are those of the test rows. 20 newsgroups: "
            f"11,314 training documents, 7532 queries, the {settings['words']} commonest words; "
            "MNIST: 60,000 and 10,000.",
            _part(content, "retrieval", found),
            "Queries for 100 neighbours, the ways taking turns:",
            _part(content, "look-ups", times),
        ]
    )


def memory_section(content: Content) -> str:
    """Show that sparse X stays sparse."""
    fields = {
        "rows": "rows",
        "columns": "columns",
        "words_a_row": "entries a row",
        "dense_float32_mib": "X, were it dense (MiB)",
        "before_fit_mib": "peak before the fit (MiB)",
        "peak_mib": "peak of fit, score and look-up (MiB)",
    }
    return (
        "Peak memory of a process that fits `HashingAutoencoder` to a wide CSR matrix.\n\n"
        + _part(content, "memory", fields)
    )


def psd_section(content: Content) -> str:
    """Show predicted codes, their speed, and the dictionary."""
    settings, published = content["settings"], content["summary"]["published_speed_up"]
    codes = {
        "method": "",
        "correlation": "correlation with the optimised code",
        "zeros_predicted": "zeros, predicted",
        "zeros_optimised": "zeros, optimised",
        "r2_predicted": "R2 from the predicted code",
        "fit_seconds": "fit, s",
    }
    speeds = {
        "encoder": "",
        "way": "",
        "rows_a_second": "rows a second",
        "times_as_long_as_transform": "times as long as `transform`",
    }
    dictionaries = {
        "method": "",
        "seconds": "seconds",
        "objective": "objective on test patches",
        "zeros": "zeros",
        "atoms_used": "atoms used",
    }
    height, width = settings["patch"]
    return "\n\n".join(
        [
            f"{settings['training_rows']} patches of {height} x {width} pixels of the faces of 32 "
            f"persons (Olivetti), {settings['n_components']} atoms, alpha {settings['alpha']}; "
            f"{settings['test_rows']} test patches of 8 others.",
            _part(content, "codes", codes),
            f"Published: over {published} times faster than optimising.",
            _part(content, "speed", speeds),
            "Dictionaries after equal seconds, each with optimised codes; the objective is half "
            "the squared error plus `alpha_` times the l1 norm, over half the squares of X:",
            _part(content, "dictionary", dictionaries),
            "![Atoms of both dictionaries](images/dictionary.png)",
        ]
    )


MAP_FIELDS = {
    "knn_accuracy": "k-NN accuracy",
    "kmeans_nmi": "k-means NMI",
    "trustworthiness_12": "trustworthiness, 12",
    "trustworthiness_50": "trustworthiness, 50",
    "continuity_12": "continuity, 12",
    "continuity_50": "continuity, 50",
    "preservation_12": "neighbours kept, 12",
    "preservation_50": "neighbours kept, 50",
    "fit_seconds": "fit, s",
    "tsne_seconds": "t-SNE, s",
}


def _as_declared(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Order rows by method and size: resumed runs leave them in the order they were taken.

    Methods that are declared no more come last.
    """
    place = {method: i for i, method in enumerate(METHODS)}
    return sorted(rows, key=lambda row: (place.get(row["method"], len(place)), row.get("k") or 0))


def _measured(means: Means) -> Means:
    """Leave out what failed."""
    return {case: row for case, row in means.items() if not row["error"]}


def _recipe_against_pca(means: Means) -> str:
    """Compare the recipe's maps with PCA's at each size, set by set."""
    measured = _measured(means)
    names = list(dict.fromkeys(name for name, _, _ in means))
    sizes = sorted({k for _, method, k in means if method == "PCA" and k})
    pairs = {
        (name, k): (measured[name, "PCA", k], measured[name, recipe(name), k])
        for name, k in product(names, sizes)
        if {(name, "PCA", k), (name, recipe(name), k)} <= measured.keys()
    }

    def gains(field: str, name: str | None = None, k: int | None = None) -> list[float]:
        return [
            ours[field] - pca[field]
            for (one_name, one_k), (pca, ours) in pairs.items()
            if name in (None, one_name) and k in (None, one_k)
        ]

    level = [
        pairs[name, 8][1]["knn_accuracy"] >= pairs[name, 32][0]["knn_accuracy"]
        for name in names
        if {(name, 8), (name, 32)} <= pairs.keys()
    ]

    def cell(name: str, k: int) -> str:
        return " / ".join(f"{row['knn_accuracy']:.3f}" for row in pairs.get((name, k), ()))

    lines = [
        [
            name,
            means[name, "raw", None]["seeds"],
            means[name, "raw", None].get("knn_accuracy"),
            *(cell(name, k) for k in sizes),
            "".join(f"{least:+.4f}" for least in sorted(gains("trustworthiness_12", name))[:1]),
        ]
        for name in names
    ]

    def above(by: float) -> str:
        found = {k: [gain > by for gain in gains("knn_accuracy", k=k)] for k in sizes}
        return ", ".join(f"{sum(gained)} of {len(gained)} at {k}" for k, gained in found.items())

    def less_trusted(n_neighbors: int) -> str:
        found = [
            f"{name} at {k} ({gain:+.4f})"
            for name, k in pairs
            for gain in gains(f"trustworthiness_{n_neighbors}", name, k)
            if gain < -0.002
        ]
        return ", ".join(found) or "nowhere"

    header = ["set", "seeds", "raw", *(f"{k}: PCA / recipe" for k in sizes)]
    return "\n\n".join(
        [
            "k-NN accuracy of the map, PCA / recipe. The recipe is `Autoencoder(k)`, and for words "
            "and counts `DenoisingAutoencoder(k, noise_level=0.5)`, here "
            '"half masked": see [before_tsne.md](before_tsne.md).',
            _table([*header, "trustworthiness, least difference"], lines),
            f"Sets on which the recipe's map is above PCA's: {above(0)}; by more than 0.005: "
            f"{above(0.005)}. With 8 numbers at least level with PCA's 32: {sum(level)} of "
            f"{len(level)}. Trustworthiness below PCA's by more than 0.002, 12 neighbours: "
            f"{less_trusted(12)}; 50 neighbours: {less_trusted(50)}.",
        ]
    )


def _map_costs(means: Means) -> str:
    """Lay seconds side by side: each reducer's fit, a mean over its sizes, and t-SNE."""
    methods = [m for m in dict.fromkeys(method for _, method, _ in means) if m != "raw"]
    measured = _measured(means)

    def mean(field: str, name: str, among: Sequence[str]) -> float | None:
        found = [row[field] for (one, m, _), row in measured.items() if one == name and m in among]
        return fmean(found) if found else None

    lines = [
        [
            name,
            *(mean("fit_seconds", name, [method]) for method in methods),
            mean("tsne_seconds", name, ["raw"]),
            mean("tsne_seconds", name, methods),
        ]
        for name in dict.fromkeys(name for name, _, _ in means)
    ]
    header = [*(f"{method}, fit" for method in methods), "t-SNE, raw rows", "t-SNE, codes"]
    return "Seconds, means over sizes and seeds.\n\n" + _table(["set", *header], lines)


def tsne_section(content: Content) -> str:
    """Show maps from raw features, PCA and autoencoders, means over seeds."""
    settings, means = content["settings"], means_over_seeds(_as_declared(content["rows"]))
    parts = [
        f"At most {settings['most_fitted']} rows fitted, {settings['most_drawn']} of them drawn; "
        "means over seeds. A seed draws other rows, so compare methods of equally many seeds. "
        "Trustworthiness, continuity and neighbours kept: against the raw rows.",
        _recipe_against_pca(means),
        "![t-SNE maps of MNIST](images/maps.png)",
        "![Accuracy of the maps against the size of the code](images/accuracy_against_size.png)",
        "### Cost",
        _map_costs(means),
    ]
    for name in dict.fromkeys(name for name, _, _ in means):
        lines = [
            [method, k, row["seeds"], *(row.get(field) for field in MAP_FIELDS), row["error"]]
            for (one, method, k), row in means.items()
            if one == name
        ]
        header = ["", "k", "seeds", *MAP_FIELDS.values(), ""]
        parts += [f"### {name}", _table(header, lines)]
    return "\n\n".join(parts)


def whole_section(content: Content) -> str:
    """Show maps of whole sets, and new rows placed on them."""
    settings, rows = content["settings"], content["rows"]
    fields = {
        "n_drawn": "rows drawn",
        "n_placed": "rows placed",
        "knn_accuracy": "k-NN accuracy of the map",
        "placed_knn_accuracy": "of rows placed on it",
        "fit_seconds": "fit, s",
        "tsne_seconds": "t-SNE, s",
        "placing_seconds": "placing, s",
    }
    lines = [
        [row["set"], row["method"], row["k"], *map(row.get, fields), row.get("error")]
        for row in rows
    ]
    return "\n\n".join(
        [
            f"openTSNE, {settings['iterations']} iterations after early exaggeration, "
            f"threads: {settings['jobs']}.",
            _table(["set", "", "k", *fields.values(), ""], lines),
        ]
    )


def pipeline_section(content: Content) -> str:
    """Show pipelines with each reducer, and their wins and losses against PCA."""
    settings, rows = content["settings"], _as_declared(content["rows"])
    methods = list(dict.fromkeys(row["method"] for row in rows))
    sets = list(dict.fromkeys(row["set"] for row in rows))
    cells = {(row["set"], row["method"]): row for row in rows}

    def cell(name: str, method: str, estimator: str) -> str:
        row = cells.get((name, method))
        if row is None:
            return "not run"
        return row.get("error") or f"{row['estimators'][estimator]['score']:.3f}"

    def seconds(name: str, method: str) -> Any:
        return cells.get((name, method), {}).get("seconds")

    fields = ["estimator", "method", "sets", "win", "tie", "loss", "mean_gain", "p_value"]

    def names(found: list[str] | None) -> str:
        return "no test" if found is None else ", ".join(found) or "none"

    estimators = list(dict.fromkeys(one for row in rows for one in row.get("estimators", {})))
    lines = [
        [*(row[field] for field in fields), names(row["won_surely"]), names(row["lost_surely"])]
        for row in sorted(
            _as_declared(content["summary"]), key=lambda row: estimators.index(row["estimator"])
        )
    ]
    parts = [
        f"{'`StandardScaler`, reducer' if settings['scaled'] else 'Features as they are, reducer'}"
        f", estimator; at most {settings['most_rows']} rows a set, "
        f"{settings['folds']} outer folds, {settings['inner_folds']} inner ones that search the "
        "size of the code and the strength of the regularisation. Accuracy; normalised mutual "
        "information for k-means.",
        _table(
            [*(field.replace("_", " ") for field in fields), "surely won", "surely lost"], lines
        ),
        f"A tie is within {settings['tie']}; p of Wilcoxon's signed-rank test over sets. A set is "
        "surely won or lost by McNemar's test on its rows, false discoveries over the sets held "
        "below 5 %.",
    ]
    for estimator in estimators:
        scores = [[name, *(cell(name, m, estimator) for m in methods)] for name in sets]
        parts += [f"### {estimator}", _table(["set", *methods], scores)]
    searched = {m: max(cells[c].get("searched", 0) for c in cells if c[1] == m) for m in methods}
    parts += [
        "### Seconds",
        "Of all searches over a set; the estimators share the reducers' fits. Settings searched: "
        + ", ".join(f"{n} of {method}" for method, n in searched.items())
        + ".",
        _table(["set", *methods], [[name, *(seconds(name, m) for m in methods)] for name in sets]),
    ]
    return "\n\n".join(parts)


# Result file: title and body of its section.
SECTIONS: dict[str, tuple[str, Callable[[Content], str]]] = {
    "pca": ("Reconstruction, against PCA", pca_section),
    "pca_60": ("Reconstruction, against PCA, 60 training rows", pca_section),
    "pca_200": ("Reconstruction, against PCA, 200 training rows", pca_section),
    "hard_rows": ("Reconstruction, against PCA, rows made to break the promise", hard_rows_section),
    "default_fit": ("A default fit", default_fit_section),
    "tsne": ("Before t-SNE", tsne_section),
    "tsne_whole": ("Whole sets before t-SNE, and new rows", whole_section),
    "pipeline": ("Before classifiers and k-means", pipeline_section),
    "pipeline_pixels": ("Before classifiers and k-means, pixels as they are", pipeline_section),
    "speed": ("A training step", speed_section),
    "speed_second_cpu": ("A training step on a second CPU", speed_section),
    "mnist30": ("MNIST, 784-1000-500-250-30", mnist30_section),
    "sparse": ("Sparse codes", sparse_section),
    "denoising": ("Denoising and imputation", denoising_section),
    "contractive": ("Contraction", contractive_section),
    "strength": ("The strength of a penalty", strength_section),
    "vae": ("Variational autoencoders", vae_section),
    "vae_pythae": ("Variational autoencoders, beside pythae", vae_section),
    "generation": ("Codes and draws", generation_section),
    "depth": ("Depth", depth_section),
    "depth_layers": ("Depth, layer by layer", depth_section),
    "labels": ("Few labels", labels_section),
    "conv": ("Convolutions", conv_section),
    "conv_dense": ("Convolutions, the dense network at equal seconds", conv_section),
    "hashing": ("Binary codes", hashing_section),
    "hashing_memory": ("Binary codes of sparse X", memory_section),
    "psd": ("Predictive sparse decomposition", psd_section),
}


def readme_table(content: Content) -> str:
    """Return five rows: what t-SNE draws from raw features, from PCA and after the recipe."""
    means = means_over_seeds(content["rows"])
    measured = _measured(means)
    names = list(dict.fromkeys(name for name, _, _ in means))
    # Without a method: the one that is recommended for the set.
    ways = {
        "raw features": ("raw", None),
        "PCA, 8 numbers": ("PCA", 8),
        "autoencoder, 8": (None, 8),
        "PCA, 32": ("PCA", 32),
        "autoencoder, 32": (None, 32),
    }
    lines = []
    for label, (method, k) in ways.items():
        cases = {name: (name, method or recipe(name), k) for name in names}
        rows = {name: measured[case] for name, case in cases.items() if case in measured}
        accuracies = [f"{rows[name]['knn_accuracy']:.3f}" if name in rows else "" for name in names]
        seconds = [
            f"{fmean(row[field] for row in rows.values()):.1f}"
            for field in ("fit_seconds", "tsne_seconds")
        ]
        lines.append([label, *accuracies, *seconds])
    return _table(["t-SNE from", *names, "fit, s", "t-SNE, s"], lines)


def write_readme(content: Content) -> None:
    """Put the table of maps between its marks in the README."""
    path = PROJECT_ROOT / "README.md"
    head, mark, rest = path.read_text().partition("<!-- written by benchmarks.report -->\n")
    _, end, tail = rest.partition("<!-- end -->\n")
    path.write_text(f"{head}{mark}{readme_table(content)}\n{end}{tail}")


def main() -> None:
    """Run from the command line."""
    parts = [
        "# Results",
        "Written by `python -m benchmarks.report` from the files in `benchmarks/results`, which "
        "the commands below write. Where an aim is missed, the figure stands as it is.",
    ]
    for name, (title, section) in SECTIONS.items():
        content = record.read(name)
        if content is None:
            print(f"No {name}.json: left out.")
            continue
        parts += [f"## {title}", f"`{COMMANDS[name]}`", section(content), _provenance(content)]
        notes = PROJECT_ROOT / "docs" / "notes" / f"{name}.md"
        if PUBLISHED and notes.exists():  # they speak of these figures only
            parts.append(notes.read_text().strip())
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text("\n\n".join(parts) + "\n")
    print(f"Wrote {PAGE}.")
    maps = record.read("tsne")
    if PUBLISHED and maps is not None:
        write_readme(maps)


if __name__ == "__main__":
    main()
