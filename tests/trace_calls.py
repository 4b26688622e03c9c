"""Which functions of skae one default fit and one transform run through.

``python tests/trace_calls.py`` prints them, file by file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType

from sklearn.datasets import load_digits

import skae
from skae import Autoencoder

PACKAGE = str(Path(skae.__file__).parent)


def functions_of(call: Callable[[], object]) -> set[CodeType]:
    """Return the code of every function of skae that a call runs through.

    Comprehensions and lambdas stand within a function and do not count.
    """
    seen: set[CodeType] = set()

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            seen.add(frame.f_code)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(before)
    return {code for code in seen if not code.co_name.startswith("<")}


def by_file(functions: set[CodeType]) -> dict[str, list[str]]:
    """Return the names of the functions, under the files that hold them."""
    files: dict[str, list[str]] = {}
    for code in sorted(functions, key=lambda code: (code.co_filename, code.co_firstlineno)):
        name = str(Path(code.co_filename).relative_to(PACKAGE))
        files.setdefault(name, []).append(code.co_qualname)
    return files


def traces() -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Yield the trace of a default fit on digits, and of a transform."""
    X = load_digits().data
    autoencoder = Autoencoder(8, random_state=0)
    yield "fit", by_file(functions_of(lambda: autoencoder.fit(X)))
    yield "transform", by_file(functions_of(lambda: autoencoder.transform(X)))


if __name__ == "__main__":
    for name, files in traces():
        print(f"{name}: {sum(map(len, files.values()))} functions in {len(files)} files")
        for file, functions in files.items():
            print(f"  {file} ({len(functions)}): {', '.join(functions)}")
