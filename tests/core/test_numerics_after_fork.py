"""A process forked after torch has filled its pool of threads must not wait for these threads.

The cases stand in `forks.py`, which runs in a process of its own, with a time limit.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")

PROGRAM = Path(__file__).with_name("forks.py")
CASES = re.findall(r"^    (\w+),$", PROGRAM.read_text(), flags=re.MULTILINE)
# Waiting threads do not spin and only torch has two: fast on a busy machine, too.
THREADS = {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive", "OPENBLAS_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def output():
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", str(PROGRAM)],
        env={**os.environ, **THREADS, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    ) as process:
        try:
            return process.communicate(timeout=90)[0]
        except subprocess.TimeoutExpired as error:
            return (error.output or b"").decode() + "\nno end in 90 seconds"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its children, too


@pytest.mark.parametrize("case", CASES)
def test_a_forked_process_computes_what_its_parent_does(output, case):
    assert case in output.splitlines(), output


def test_the_parent_says_nothing_else(output):
    assert output.splitlines() == CASES
