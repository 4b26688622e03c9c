"""Result files: JSON with the rows, their summary, the settings and the environment."""

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
from benchmarks.tables import Content, Row
from skae.core.numerics import bfloat16_units

# SKAE_RESULTS names another folder, so that quick runs do not overwrite the published results.
_OTHER_FOLDER = os.environ.get("SKAE_RESULTS")
PUBLISHED = not _OTHER_FOLDER
RESULTS = Path(_OTHER_FOLDER or PROJECT_ROOT / "benchmarks" / "results").resolve()
PAGES = PROJECT_ROOT / "docs" if PUBLISHED else RESULTS
PICTURES = PAGES / "images"


def processor() -> str:
    """Return the model name of the CPU."""
    default = platform.processor() or "unknown"
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return default
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, default)


def _git(*arguments: str) -> str | None:
    try:
        process = subprocess.run(
            ["git", *arguments], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return process.stdout.strip()


def revision() -> str:
    """Return the short hash of the checked-out commit, with a plus if the code has been changed."""
    head = _git("rev-parse", "--short", "HEAD") or "unknown"
    return f"{head}+" if _git("status", "--porcelain", "skae", "benchmarks/*.py") else head


def environment() -> dict[str, Any]:
    """Return the date, the revision, the versions and the hardware."""
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


def to_json(value: Any) -> Any:
    """Convert a value to JSON types. Floats keep six digits; NaN and infinity become strings."""
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, (np.generic, np.ndarray)):
        return to_json(value.tolist())
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
) -> Content:
    """Write ``<name>.json`` into `RESULTS`.

    Parameters
    ----------
    name : str
    rows : sequence of mapping
        The measurements.
    summary : mapping or sequence of mapping
    seeds : sequence of int
    settings : mapping, optional
        The options and constants that the measurements depend on.

    Returns
    -------
    content : dict
        What `read` returns.
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
    text = json.dumps(to_json(content), indent=1)
    # Renaming is atomic: an interrupted write leaves the previous file intact.
    temporary = path.with_suffix(".json.part")
    temporary.write_text(text + "\n")
    temporary.replace(path)
    return dict(json.loads(text))


def read(name: str, directory: Path | None = None) -> Content | None:
    """Read ``<name>.json`` from the directory (default `RESULTS`); None if it does not exist."""
    path = (directory or RESULTS) / f"{name}.json"
    return dict(json.loads(path.read_text())) if path.exists() else None
