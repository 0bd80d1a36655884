"""How torch's threads wait for each other, as their own library reports it when it is loaded."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def spins(**environment: str) -> str:
    """Return how often a waiting thread of torch looks again before it sleeps."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    told = subprocess.run(
        [sys.executable, "-c", "import training, torch"],
        env={**kept, **environment, "OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    found = [line.split("'")[1] for line in told.splitlines() if "GOMP_SPINCOUNT" in line]
    if not found:
        pytest.skip("torch has threads of another library than GNU's here")
    return found[0]


@pytest.mark.slow
def test_waiting_threads_sleep_unless_the_environment_says_otherwise() -> None:
    assert spins() == "0"
    assert spins(GOMP_SPINCOUNT="300") == "300"
    assert spins(OMP_WAIT_POLICY="ACTIVE") != "0"
