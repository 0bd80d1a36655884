"""Scoring with an estimator runs with the few packages of requirements/score.txt."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.fixtures.estimator import Base
from tests.training.test_estimator import estimator

ROOMS = ("flows", "synthesis", "annotation", "warehouse", "training")
ROOT = Path(__file__).parents[2]
SCORE = """
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {blocked!r} else super().find_spec(name, path, target)

sys.meta_path = [Without if finder is PathFinder else finder for finder in sys.meta_path]
from training import Estimator
print(*Estimator.load({folder!r}, "cpu", "fp32").score([("It rains.", "The street is wet."), ("A.", "B.")]).scores)
"""


def name_of(requirement: str) -> str:
    return re.split(r"[\[<>=]", requirement)[0].lower().replace("_", "-")


def with_what_they_need(names: set[str]) -> set[str]:
    """The packages of these names, and those that these need in turn, as pip would install them."""
    found: set[str] = set()
    while names:
        found |= names
        needed = (Requirement(each) for name in names for each in requires(name) or [])
        fit = {each for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})}
        names = {name_of(each.name) for each in fit} - found
    return found


@pytest.mark.slow
def test_training_scores_without_the_other_packages(tiny_base: Base, tmp_path: Path) -> None:
    subject = estimator(tiny_base, disturb=True)
    subject.save(tmp_path)
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    lines = [line for line in (ROOT / "requirements/score.txt").read_text().splitlines() if not line.startswith("#")]
    assert set(lines) <= set(asked), "the bounds differ from those of pyproject.toml"
    needed = with_what_they_need({name_of(each) for each in lines})
    modules = packages_distributions().items()
    blocked = [name for name, owners in modules if needed.isdisjoint(map(name_of, owners)) and name not in ROOMS]
    assert {"prefect", "duckdb", "label_studio_sdk", "openai", "sklearn"} <= set(blocked)
    code = SCORE.format(blocked=blocked, folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = subject.score([("It rains.", "The street is wet."), ("A.", "B.")]).scores
    assert [round(float(each), 4) for each in done.stdout.split()] == [round(float(each), 4) for each in expected]
