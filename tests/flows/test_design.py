"""`odds design` from the command line and from Python, and what the page for whoever runs a study shows of it."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flows.design import design, design_parts
from flows.settings.settings import load_settings
from tests.fixtures.commands import Run
from tests.fixtures.llm_runs import settings_file
from tests.fixtures.store import made_rows
from tests.test_docs import ROOT, blocks
from warehouse import open_warehouse
from warehouse.catalog.store import merge_all
from warehouse.errors import InputError


def test_the_page_shows_what_the_command_prints(odds: Run, tmp_path: Path) -> None:
    shown = blocks(ROOT / "docs" / "studies.md")
    place = next(place for place, (_, text) in enumerate(shown) if text.startswith("odds design"))
    config = settings_file(tmp_path, "")
    done = odds("--config", str(config), *shown[place][1].split()[1:], env={"COLUMNS": "100"})
    assert done.returncode == 0, done.stderr
    printed = [line.rstrip() for line in done.stdout.splitlines() if line.strip()]
    assert printed == [line.rstrip() for line in shown[place + 1][1].splitlines() if line.strip()]


def test_the_judgments_of_the_warehouse_tell_what_to_expect_unless_it_is_stated(tmp_path: Path) -> None:
    config = settings_file(tmp_path, "")
    with pytest.raises(InputError, match="propositions must be at least 2"):
        design(1, config=config)
    assert "Pavlick and Kwiatkowski" in design(100, config=config).prior.source
    judged = [(f"p{i}", f"a{j}", 0.2 + 0.015 * i + 0.05 * j) for i in range(40) for j in range(3)]
    with open_warehouse(load_settings(config).catalog, read_only=False) as warehouse:
        merge_all(warehouse, made_rows(judged))
    found = design(100, config=config)
    assert found.prior.source == "120 judgments of 40 propositions in the warehouse"
    assert found.prior.sd == pytest.approx(0.05)
    stated = design(100, sd=0.1, config=config)
    assert stated.prior.sd == 0.1
    assert stated.prior.alpha == pytest.approx(found.prior.alpha, rel=1e-9), (
        "sums of several threads differ in a last bit"
    )
    assert stated.prior.source == f"the options, and {found.prior.source}"


def test_what_is_stated_replaces_what_cannot_be(tmp_path: Path) -> None:
    config = settings_file(tmp_path, "")
    with pytest.raises(
        InputError,
        match=r"^odds design: the SD .*; sd 0\.27 and mean 0\.58 come from .* 2019: state --sd and --mean too$",
    ):
        design(100, alpha=0.8, config=config)
    with pytest.raises(InputError, match=r"within a proposition$"):
        design(100, alpha=0.8, sd=0.4, mean=0.5, config=config)
    with open_warehouse(load_settings(config).catalog, read_only=False) as warehouse:
        merge_all(warehouse, made_rows([(f"p{i}", f"a{j}", 0.5) for i in range(30) for j in range(2)]))
    found = design(100, alpha=0.5, sd=0.2, config=config).prior
    assert (found.alpha, found.sd, found.mean) == (0.5, 0.2, 0.5)
    assert found.source == "the options, and 60 judgments of 30 propositions in the warehouse"
    with pytest.raises(
        InputError, match=r"alpha 0 and sd 0 and mean 0\.5 come from 60 judgments .*: state --alpha and"
    ):
        design(100, config=config)


def test_goals_out_of_reach_are_told_and_the_file_has_every_row(tmp_path: Path) -> None:
    config, file = settings_file(tmp_path, ""), tmp_path / "design.parquet"
    study = design(50, precision=0.02, cost_per_judgment=0.1, most=12, output=file, config=config)
    assert study.goals[0].plan is None
    lines = [part for part in design_parts(study) if isinstance(part, str)]
    assert "95% interval of alpha within ±0.02: not with up to 12 judgments each" in lines
    assert study.fewest is not None
    n, k = study.fewest
    reached = design(n, precision=0.02, config=config).goals[0].plan
    assert reached is not None
    assert reached.judgments_each <= k
    rows = pq.read_table(file).to_pylist()
    assert [row["judgments_each"] for row in rows] == list(range(2, 13))
    assert rows[0]["cost"] == pytest.approx(50 * 2 * 0.1)


def test_no_file_is_written_among_those_of_the_warehouse(tmp_path: Path) -> None:
    config = settings_file(tmp_path, "")
    data = Path(load_settings(config).data_path)
    data.mkdir(parents=True)
    with pytest.raises(InputError, match="is in the data folder of the warehouse"):
        design(10, output=data / "design.parquet", config=config)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [({"precision": 1.5}, "--precision"), ({"cost_per_judgment": -1.0}, "--cost"), ({"most": 1}, "--most")],
)
def test_impossible_numbers_are_refused(wanted: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        design(10, **wanted)  # type: ignore[arg-type]


def test_the_cost_of_the_settings_is_used(tmp_path: Path) -> None:
    config = settings_file(tmp_path, "[annotation]\ncost_per_judgment = 0.25\n")
    assert design(10, config=config).plans[0].cost == pytest.approx(5)
    assert design(10, cost_per_judgment=1.0, config=config).plans[0].cost == pytest.approx(20)
