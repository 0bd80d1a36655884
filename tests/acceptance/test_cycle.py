"""The main job as an operator runs it: a small cycle on the real components, run twice, then with a change."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from annotation.studio.client import connect
from tests.fixtures.commands import Run, ended_well
from tests.fixtures.estimator import Base
from tests.fixtures.studio import StudioServer
from warehouse import open_warehouse
from warehouse.catalog.connect import Warehouse
from warehouse.records import Split, premise_id, split_of
from warehouse.shards import read_split

JUDGMENTS_EACH = 2
EXAMPLES = Path(__file__).parents[2] / "examples"

STAGES = (
    *("propose", "elicit", "judge", "push", "simulate", "pull"),
    *("recalibrate", "agree", "publish", "train", "evaluate"),
)


def settings(studio: StudioServer, base: Base, project: str) -> str:
    return f"""
        [annotation]
        url = "{studio.url}"
        project = "{project}"
        judgments_per_proposition = {JUDGMENTS_EACH}
        simulated_annotators = 3

        [agreement]
        draws = 200

        [training]
        base = "{base.path}"
        epochs = 2
        batch_size = 4
        max_length = 200
        precision = "fp32"
    """


def small_examples(folder: Path) -> tuple[int, int]:
    """Write the example propositions of one premise a split; gives how many premises and propositions."""
    lines = [json.loads(line) for line in (EXAMPLES / "propositions.jsonl").read_text().splitlines()]
    by_split = {split_of(premise_id(row["premise"])): row["premise"] for row in reversed(lines)}
    chosen = [row for row in lines if row["premise"] in by_split.values()]
    (folder / "propositions.jsonl").write_text("\n".join(map(json.dumps, chosen)))
    return len(by_split), len(chosen)


def opened(folder: Path) -> Warehouse:
    return open_warehouse(folder / ".odds/warehouse/catalog.sqlite")


def number(warehouse: Warehouse, query: str) -> int:
    value: int = warehouse.sql(f"SELECT ({query}) AS n")["n"][0].as_py()
    return value


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_cycle_twice_and_after_a_change(
    tmp_path: Path, odds: Run, studio_server: StudioServer, tiny_base: Base, llm_url: str
) -> None:
    n_premises, n_imported = small_examples(tmp_path)
    (tmp_path / "odds.toml").write_text(settings(studio_server, tiny_base, "Acceptance"))
    secret = {"LABEL_STUDIO_TOKEN": studio_server.token, "ODDS_PROPOSER__TARGETS": "[0.1, 0.9]"}
    endpoint = f'[{{"name": "embedded", "base_url": "{llm_url}", "timeout_s": 180}}]'
    secret["ODDS_ENDPOINTS"] = endpoint

    ended_well(odds("import", "propositions", "propositions.jsonl"))
    first = ended_well(odds("cycle", env=secret, timeout=900))
    for stage in STAGES:
        assert f"\n{stage}: " in "\n" + first

    with opened(tmp_path) as warehouse:
        snapshot, requests = warehouse.snapshot_id(), number(warehouse, "SELECT count(*) FROM requests")
        judgments = everything_adds_up(warehouse, n_premises, n_imported)
    published_by_premise(tmp_path / ".odds/datasets/odds/v1")
    report = next((tmp_path / ".odds/reports").glob("*.html")).read_text()
    assert "Simulated annotators" in report

    second = ended_well(
        odds("cycle", env=secret | {"ODDS_ENDPOINTS": endpoint.replace(llm_url, "http://127.0.0.1:9/v1")})
    )
    assert "publish: 0 new shards" in second
    with opened(tmp_path) as warehouse:
        assert warehouse.snapshot_id() == snapshot, "a second cycle with nothing new wrote something"
        assert number(warehouse, "SELECT count(*) FROM requests") == requests

    studio = connect(studio_server.url, studio_server.token)
    (project,) = studio.projects_called("Acceptance")
    exported = studio.export(project)
    delete_annotation(studio_server, exported[0]["annotations"][0]["id"])
    nobody_simulated = {"ODDS_ANNOTATION__SIMULATED_ANNOTATORS": "0"}  # or the judgment would be given again
    third = ended_well(odds("cycle", env=secret | nobody_simulated, timeout=900))
    assert "1 deleted" in third
    assert "(odds v2)" in third
    with opened(tmp_path) as warehouse:
        assert number(warehouse, "SELECT count(*) FROM judgments") == judgments, "a deleted judgment keeps its row"
        assert number(warehouse, "SELECT count(*) FROM judgments WHERE deleted_at IS NOT NULL") == 1
        assert number(warehouse, "SELECT count(*) FROM models") == 2

    status = json.loads(ended_well(odds("status", "--json", env=secret)))
    assert status["dataset"]["version"] == 2


def everything_adds_up(warehouse: Warehouse, n_premises: int, n_imported: int) -> int:
    """Whether the counts of the stages fit together; gives the number of judgments."""
    propositions = number(warehouse, "SELECT count(*) FROM propositions")
    assert number(warehouse, "SELECT count(*) FROM premises") == n_premises
    assert number(warehouse, "SELECT count(*) FROM propositions WHERE kind = 'imported'") == n_imported
    asked = "SELECT count(DISTINCT subject_id) FROM requests WHERE purpose = 'propose'"
    assert number(warehouse, asked) == n_premises
    assert number(warehouse, "SELECT count(*) FROM estimates") == 3 * propositions
    assert number(warehouse, "SELECT count(*) FROM tasks") == propositions
    judgments = number(warehouse, "SELECT count(*) FROM judgments")
    assert judgments == JUDGMENTS_EACH * propositions
    assert number(warehouse, "SELECT count(*) FROM annotators WHERE kind = 'simulated'") == 3
    assert number(warehouse, "SELECT count(*) FROM annotators WHERE kind <> 'simulated'") == 0
    valid = number(warehouse, "SELECT count(*) FROM valid_judgments")
    assert number(warehouse, "SELECT n_simulated FROM datasets") == valid > 0
    in_test = "SELECT count(*) FROM consensus JOIN splits USING (proposition_id) WHERE split = 'test'"
    assert number(warehouse, "SELECT count(*) FROM scores") == number(warehouse, in_test) > 0
    return judgments


def published_by_premise(folder: Path) -> None:
    """Whether the shards hold every split, and no premise in two of them."""
    splits: tuple[Split, ...] = ("train", "dev", "test")
    premises = [set(read_split(folder, split)["premise_id"].to_pylist()) for split in splits]
    assert all(premises)
    assert len(set.union(*premises)) == sum(map(len, premises))


def delete_annotation(studio: StudioServer, annotation_id: int) -> None:
    reply = httpx.delete(
        f"{studio.url}/api/annotations/{annotation_id}/",
        headers={"Authorization": f"Token {studio.token}"},
        trust_env=False,
        timeout=30,
    )
    reply.raise_for_status()
