"""Results as JSON files, with the environment that they were taken in, and as plain text."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import sklearn
import torch

import skae
from benchmarks.datasets import PROJECT_ROOT
from skae._core.numerics import bfloat16_units

# Another folder leaves the published results alone: `make benchmarks` writes its quick ones there.
_ELSEWHERE = os.environ.get("SKAE_RESULTS")
RESULTS = Path(_ELSEWHERE or PROJECT_ROOT / "benchmarks" / "results").resolve()
PAGES = RESULTS if _ELSEWHERE else PROJECT_ROOT / "docs"
PICTURES = PAGES / "images"
Row = Mapping[str, Any]


def processor() -> str:
    """Model of the CPU."""
    unnamed = platform.processor() or "unknown"
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return unnamed
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, unnamed)


def _git(*arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", *arguments], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()


def revision() -> str:
    """Return the revision of the checkout, short, with a plus where the code differs from it.

    Numbers of code that no revision holds cannot be repeated: the plus says so.
    """
    head = _git("rev-parse", "--short", "HEAD") or "unknown"
    return f"{head}+" if _git("status", "--porcelain", "skae", "benchmarks/*.py") else head


def environment() -> dict[str, Any]:
    """Return what a reader needs to judge or repeat a measurement."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "git_revision": revision(),
        "versions": {
            "python": platform.python_version(),
            **{module.__name__: module.__version__ for module in (np, scipy, sklearn, torch, skae)},
        },
        "processor": processor(),
        "bfloat16_units": bfloat16_units(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
    }


def plain(value: Any) -> Any:
    """Reduce a value to what JSON has; a number that is not finite becomes its name."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.generic, np.ndarray)):
        return plain(value.tolist())
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else str(value)
    return value


def write(
    name: str,
    rows: Sequence[Row],
    summary: Row | Sequence[Row],
    *,
    seeds: Sequence[int],
    settings: Row | None = None,
) -> Path:
    """Write a result to ``benchmarks/results/<name>.json``.

    Parameters
    ----------
    name : str
    rows : sequence of mapping
        One mapping a case.
    summary : mapping or sequence of mapping
    seeds : sequence of int
    settings : mapping, optional
        Whatever else the figures depend on.

    Returns
    -------
    path : Path
    """
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    content = {
        "name": name,
        "summary": summary,
        "settings": {**(settings or {}), "seeds": list(seeds)},
        "environment": environment(),
        "rows": list(rows),
    }
    # Renaming is atomic: an interrupt leaves the last whole file.
    unfinished = path.with_suffix(".json.part")
    unfinished.write_text(json.dumps(plain(content), indent=1) + "\n")
    unfinished.replace(path)
    return path


def read(name: str, directory: Path | None = None) -> dict[str, Any] | None:
    """Return what `write` left under this name, in `RESULTS` by default; None if nothing."""
    path = (directory or RESULTS) / f"{name}.json"
    return dict(json.loads(path.read_text())) if path.exists() else None


def _cell(value: Any, width: int = 0) -> str:
    if value is None:
        return "-".rjust(width)
    if isinstance(value, bool):
        return ("yes" if value else "no").rjust(width)
    if isinstance(value, (float, np.floating)):
        text = f"{value:.0f}" if 1000 <= abs(value) < 1e9 else f"{value:#.3g}".rstrip(".")
        return text.rjust(width)
    return str(value).ljust(width) if isinstance(value, str) else str(value).rjust(width)


def table(rows: Sequence[Row], columns: Sequence[str] | None = None) -> str:
    """Lay rows out in columns of plain text.

    Parameters
    ----------
    rows : sequence of mapping
    columns : sequence of str, optional
        Keys to show, in this order; those of the first row by default.

    Returns
    -------
    text : str
    """
    columns = list(columns or rows[0])
    widths = [max(len(c), *(len(_cell(row.get(c))) for row in rows)) for c in columns]
    numeric = [not any(isinstance(row.get(c), str) for row in rows) for c in columns]
    lines = [
        "  ".join(
            c.rjust(w) if right else c.ljust(w)
            for c, w, right in zip(columns, widths, numeric, strict=True)
        ),
        "  ".join("-" * width for width in widths),
    ]
    lines += [
        "  ".join(_cell(row.get(c), w) for c, w in zip(columns, widths, strict=True))
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def tables(rows: Sequence[Row]) -> str:
    """Lay the rows of each ``part`` out in a table of its own."""
    parts = dict.fromkeys(row["part"] for row in rows)
    return "\n\n".join(table([row for row in rows if row["part"] == part]) for part in parts)
