"""The notebook for researchers, run as they run it, on the example judgments: six questions, six pictures."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image

from tests.fixtures.commands import ODDS, Run, ended_well
from warehouse import open_warehouse
from warehouse.catalog.store import merge_all
from warehouse.records import Estimate

ROOT = Path(__file__).parents[1]
MARIMO = Path(sysconfig.get_path("scripts")) / "marimo"
CATALOG = Path(".odds") / "warehouse" / "catalog.sqlite"
QUESTIONS = 6


@dataclass(frozen=True)
class Page:
    """The exported notebook: its text, and its pictures as files."""

    text: str
    pictures: list[Path]


def exported(folder: Path, *arguments: str, **environment: str) -> Page:
    """The notebook run in a folder; it must end without an error in any cell."""
    output = folder / "questions.html"
    command = [str(MARIMO), "export", "html", str(ROOT / "examples" / "questions.py"), "-o", str(output), "--force"]
    done = subprocess.run(
        [*command, "--", *arguments],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    text = output.read_text()
    found = dict.fromkeys(re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", text))
    pictures = []
    for number, encoded in enumerate(found):
        pictures.append(folder / f"{number + 1}.png")
        pictures[-1].write_bytes(base64.b64decode(encoded))
    return Page(text, pictures)


@pytest.fixture
def judged(tmp_path: Path, odds: Run) -> Path:
    """A folder with a warehouse of the example judgments and their agreement."""
    judgments = str(ROOT / "examples" / "judgments.jsonl")
    ended_well(odds("import", "judgments", judgments, "--annotators", "simulated"))
    ended_well(odds("agree"))
    return tmp_path


def drawn(picture: Path) -> float:
    """The share of a picture's points that are not white."""
    points = image.imread(picture)[..., :3]
    assert points.shape[0] > 300
    assert points.shape[1] > 600
    return float(np.mean(points.min(axis=2) < 0.99))


@pytest.mark.long
def test_six_questions_with_a_picture_each(judged: Path) -> None:
    page = exported(judged)
    assert len(page.pictures) == QUESTIONS
    for picture in page.pictures:
        assert drawn(picture) > 0.01
    # The page holds the source too, which has no figures.
    assert "569 of 569 judgments are simulated: nobody made them" in page.text


@pytest.mark.long
def test_labelers_are_shown_where_there_are_some(judged: Path) -> None:
    before = exported(judged).pictures[3]
    without = drawn(before)
    with open_warehouse(judged / CATALOG, read_only=False) as warehouse:
        rows = warehouse.sql(
            "SELECT proposition_id, avg(probability) AS mean FROM valid_judgments GROUP BY 1"
        ).to_pylist()
        estimates = [
            Estimate(
                estimate_id=f"{labeler} {row['proposition_id']}",
                proposition_id=row["proposition_id"],
                labeler=labeler,
                labeler_version="1",
                method="verbalised",
                probability=probability,
            )
            for row in rows
            for labeler, probability in (("fine", row["mean"] ** 2), ("constant", 0.5))
        ]
        merge_all(warehouse, [estimates])
    # The path by the argument and by the environment, from another folder.
    elsewhere = judged / "elsewhere"
    elsewhere.mkdir()
    page = exported(elsewhere, "--catalog", str(judged / CATALOG))
    assert drawn(page.pictures[3]) > 2 * without
    page = exported(elsewhere, ODDS_CATALOG=str(judged / CATALOG))
    assert len(page.pictures) == QUESTIONS


@pytest.mark.slow
def test_a_warehouse_without_judgments_has_pictures_that_say_so(tmp_path: Path) -> None:
    (tmp_path / "premises.jsonl").write_text(json.dumps({"text": "It rains."}))
    subprocess.run([ODDS, "import", "premises", "premises.jsonl"], cwd=tmp_path, check=True, capture_output=True)
    page = exported(tmp_path)
    assert len(page.pictures) >= QUESTIONS - 1  # two that say the same may be the same
    assert "0 of 0 judgments are simulated." in page.text
