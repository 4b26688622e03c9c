"""Seconds of a fit with default parameters. `benchmarks.pca` measures them, after its cases."""

from __future__ import annotations

from dataclasses import replace

from benchmarks import pca
from benchmarks.runner import Run
from benchmarks.tables import Content, Table

AIMS = {"digits": 3, "mnist": 90}  # seconds of fit


def table(content: Content) -> Table:
    """Return the seconds of fit and transform, one row per data set."""
    seconds = content["summary"]["default_fit_seconds_k32"]
    return Table(
        [
            "set | seconds of fit = fit:.1f | aim: under = aim",
            ("met", lambda row: row["fit"] < row["aim"]),
            "of transform = transform | of the encoder alone = encoder alone",
        ],
        [{"set": name, "aim": AIMS[name], **parts} for name, parts in seconds.items()],
    )


BENCHMARK = replace(
    pca.BENCHMARK,
    section=[
        "Wall-clock seconds of `Autoencoder(32).fit` on all training rows, on an otherwise idle "
        "machine, and of `transform` with and without the refinement of the encoder's code "
        "(`transform_max_iter=0`).",
        table,
    ],
    runs=[Run("default_fit", "Time of a default fit", "--sets iris --seeds 0 --mnist")],
)
