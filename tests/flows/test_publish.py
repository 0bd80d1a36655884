from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from flows.publish import publish, verify_dataset
from flows.settings.settings import Settings, load_settings
from tests.fixtures.store import made_judgment, made_rows
from warehouse import open_warehouse
from warehouse.catalog.store import merge, merge_all, read
from warehouse.consensus.renew import renew_consensus
from warehouse.errors import InputError
from warehouse.places import placed
from warehouse.records import Dataset, Record, Shard
from warehouse.shards import read_manifest


@pytest.fixture
def installed(tmp_path: Path) -> Settings:
    """An installation with forty judged propositions and their consensus."""
    (tmp_path / "odds.toml").write_text("[publish]\nmax_rows_per_shard = 10\n")
    settings = load_settings(tmp_path / "odds.toml")
    with open_warehouse(settings.catalog, read_only=False) as warehouse:
        merge_all(warehouse, made_rows([(f"p{n}", name, n / 40) for n in range(40) for name in "ab"]))
        renew_consensus(warehouse, "em")
    return settings


def run(settings: Settings) -> str:
    return publish.fn(settings.root / "odds.toml").line()


def recorded(settings: Settings, record: type[Record]) -> list[Record]:
    with open_warehouse(settings.catalog) as warehouse:
        return read(warehouse, record)


def judged_again(settings: Settings) -> None:
    with open_warehouse(settings.catalog, read_only=False) as warehouse:
        merge(warehouse, [made_judgment("p3", "b", 0.9)])
        renew_consensus(warehouse, "em")


@pytest.mark.slow
def test_what_is_recorded_is_what_was_published(installed: Settings) -> None:
    assert "odds v1" in run(installed)
    (dataset,) = recorded(installed, Dataset)
    assert isinstance(dataset, Dataset)
    manifest = read_manifest(placed(dataset.path, installed.home_path))
    assert (dataset.n_human, dataset.n_synthetic, dataset.n_pairs) == (40, 0, 0)
    shards = {row.path: row for row in recorded(installed, Shard) if isinstance(row, Shard)}
    assert len(shards) == len(manifest.files) >= 5
    for file in manifest.files:
        row = shards[file.path]
        assert (row.part, row.rows, row.sha256) == (file.part, file.rows, file.sha256)
        assert (row.first_premise_id, row.last_premise_id) == (file.first_premise_id, file.last_premise_id)
    assert "nothing new to publish" in run(installed)
    assert f"odds v1: {len(shards)} shards match their manifest" == verify_dataset(installed)


@pytest.mark.slow
def test_an_older_version_is_verified_by_its_number(installed: Settings) -> None:
    run(installed)
    judged_again(installed)
    assert "odds v2" in run(installed)
    assert verify_dataset(installed).startswith("odds v2")
    assert verify_dataset(installed, "odds", 1).startswith("odds v1")
    for name, version in (("odds", 3), ("other", None)):
        with pytest.raises(InputError, match="is published yet"):
            verify_dataset(installed, name, version)


@pytest.mark.slow
def test_a_manifest_that_was_changed_with_its_shard_is_found(installed: Settings) -> None:
    run(installed)
    (dataset,) = recorded(installed, Dataset)
    assert isinstance(dataset, Dataset)
    path = placed(dataset.path, installed.home_path) / "manifest.json"
    manifest = json.loads(path.read_text())
    gone = manifest["files"].pop()
    (path.parent / gone["path"]).unlink()
    path.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="manifest has changed since it was published"):
        verify_dataset(installed)


@pytest.mark.slow
def test_a_folder_that_an_interruption_kept_from_being_recorded_is_taken_up(installed: Settings) -> None:
    run(installed)
    (before,) = recorded(installed, Dataset)
    for table in ("datasets", "shards"):
        with open_warehouse(installed.catalog, read_only=False) as warehouse:
            warehouse.connection.execute(f"DELETE FROM {table}")
    assert "odds v1" in run(installed)
    (after,) = recorded(installed, Dataset)
    assert after.model_dump(exclude={"created_at"}) == before.model_dump(exclude={"created_at"})
    verify_dataset(installed)


@pytest.mark.slow
def test_a_folder_of_other_content_is_left_alone(installed: Settings) -> None:
    run(installed)
    folder = installed.home_path / "datasets" / "odds"
    shutil.copytree(folder / "v1", folder / "v2")
    judged_again(installed)
    assert "odds v3" in run(installed)
    assert verify_dataset(installed).startswith("odds v3")
