"""The one truth about splits: shares on real data, and the migration that brought it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.fixtures.store import DATA
from warehouse import Warehouse, open_warehouse
from warehouse.catalog import migrate
from warehouse.catalog.store import merge, merge_all
from warehouse.datasets.groups import renew_groups
from warehouse.files.imports import read_judgments
from warehouse.files.texts import read_propositions
from warehouse.records import Premise, PremiseGroup, Proposition, Split, premise_id, proposition_id

UPDATES = DATA / "defeasible_snli" / "dev.parquet"


def splits_of(warehouse: Warehouse) -> dict[str, str]:
    """The split of each proposition, by the text of its premise."""
    rows = warehouse.sql("SELECT m.text, s.split FROM splits s JOIN premises m USING (premise_id)").to_pylist()
    return {row["text"]: row["split"] for row in rows}


@pytest.mark.long
@pytest.mark.parametrize("shares", [(0.7, 0.1), (0.5, 0.25)])
def test_updates_beside_other_sources_fall_as_the_shares_say(
    tmp_path: Path, nli_variation: Path, defeasible_snli: Path, shares: tuple[float, float]
) -> None:
    with open_warehouse(tmp_path / "catalog.sqlite", read_only=False) as warehouse:
        judged = read_judgments(nli_variation, split_shares=shares)
        merge_all(warehouse, [judged.premises, judged.propositions])
        for file in (defeasible_snli, DATA / "joci" / "dev.parquet"):
            batch = read_propositions(file, split_shares=shares)
            merge_all(warehouse, [batch.premises, batch.propositions])
        renew_groups(warehouse, 0.8)
        rows = warehouse.sql(
            "SELECT s.split, s.group_id, s.premise_id, p.parent_id IS NOT NULL AS is_update "
            "FROM splits s JOIN propositions p USING (proposition_id)"
        ).to_pylist()
    groups: dict[str, set[str]] = {}
    for row in rows:
        groups.setdefault(row["group_id"], set()).add(row["split"])
    assert {len(found) for found in groups.values()} == {1}
    for counted in (rows, [row for row in rows if row["is_update"]]):
        counts = Counter(row["split"] for row in counted)
        found = {split: count / len(counted) for split, count in counts.items()}
        expected = {"train": shares[0], "dev": shares[1], "test": 1 - sum(shares)}
        assert found == pytest.approx(expected, abs=0.04)


def row(text: str, split: Split, parent: str | None = None) -> tuple[Premise, Proposition]:
    return (
        Premise(premise_id=premise_id(text), text=text, source="old"),
        Proposition(
            proposition_id=proposition_id(text, "h"),
            premise_id=premise_id(text),
            hypothesis="h",
            kind="imported" if parent is None else "weakened",
            source="old",
            split=split,
            parent_id=None if parent is None else proposition_id(parent, "h"),
        ),
    )


def test_the_migration_gives_groups_the_split_of_their_root_and_says_what_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "catalog.sqlite"
    before = migrate.migrations()[:4]
    with monkeypatch.context() as older:
        older.setattr(migrate, "migrations", lambda: before)
        older.setattr(migrate, "views", tuple)
        with open_warehouse(path, read_only=False) as warehouse:
            rows = [
                row("root", "train"),
                row("root. update", "test", "root"),
                row("root. update. more", "dev", "root. update"),
                row("twin", "train"),
                row("twin!", "test"),
                row("held out", "test"),
                row("held out. update", "train", "held out"),
                row("alone", "dev"),
            ]
            premises, propositions = zip(*rows, strict=True)
            merge_all(warehouse, [premises, propositions])
            merge(
                warehouse,
                [
                    PremiseGroup(premise_id=premise_id(text), group_id="g", reason="near-duplicate", split="test")
                    for text in ("twin", "twin!")
                ],
            )
    with open_warehouse(path, read_only=False) as warehouse:
        after = splits_of(warehouse)
        assert after == {
            "root": "train",
            "root. update": "train",
            "root. update. more": "train",
            "twin": "train",
            "twin!": "train",
            "held out": "test",
            "held out. update": "test",
            "alone": "dev",
        }
        moved = warehouse.sql("SELECT proposition_id, before, after FROM split_moves").to_pylist()
        assert {(one["proposition_id"], one["before"], one["after"]) for one in moved} == {
            (proposition_id(text, "h"), was, after[text])
            for text, was in {
                "root. update": "test",
                "root. update. more": "dev",
                "twin": "test",
                "twin!": "test",
                "held out. update": "train",
            }.items()
        }
        (line,) = warehouse.said
        assert line.startswith("5 of 8 propositions changed their split (1 from dev to train, 3 from test to train, ")
        renew_groups(warehouse, 0.0)
        assert {text: split for text, split in splits_of(warehouse).items() if "twin" not in text} == {
            text: split for text, split in after.items() if "twin" not in text
        }
    with open_warehouse(path, read_only=False) as warehouse:
        assert warehouse.said == ()
        assert warehouse.sql("SELECT count(*) AS n FROM split_moves")["n"].to_pylist() == [5]


def test_a_warehouse_without_such_groups_is_brought_up_to_date_without_a_word(warehouse: Warehouse) -> None:
    assert warehouse.said == ()
    assert warehouse.sql("FROM split_moves").num_rows == 0
