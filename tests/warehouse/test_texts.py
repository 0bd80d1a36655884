from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from warehouse import records
from warehouse.errors import InputError
from warehouse.files.texts import premise_columns, premises_of, read_propositions

PREMISE, HYPOTHESIS = "A man is fishing.", "He catches something."
STRONGER, WEAKER = "He uses fresh bait.", "The lake is frozen."


def updates_file(path: Path, *rows: str) -> Path:
    """A CSV of one proposition with updates."""
    header = "premise,hypothesis,update,update_type\n"
    path.write_text(header + "".join(f"{PREMISE},{HYPOTHESIS},{row}\n" for row in rows))
    return path


def test_premises_and_propositions_with_their_targets(tmp_path: Path) -> None:
    premises = tmp_path / "premises.jsonl"
    premises.write_text('{"text": "A dog", "source": "mine", "license": "CC0-1.0"}\n{"text": "A  dog"}\n')
    (premise,) = premises_of(premise_columns(premises, {}))
    assert (premise.text, premise.source, premise.license, premise.language) == ("A dog", "mine", "CC0-1.0", "en")

    path = tmp_path / "propositions.csv"
    path.write_text("premise,hypothesis,probability\nA dog,An animal,0.95\nA dog,A pet,\n")
    batch = read_propositions(path, split_shares=(0.0, 0.0))
    rows = sorted(batch.propositions.to_pylist(), key=lambda row: str(row["hypothesis"]))
    assert [(row["hypothesis"], row["target_probability"], row["split"]) for row in rows] == [
        ("A pet", None, "test"),
        ("An animal", 0.95, "test"),
    ]
    assert batch.premises["source"].to_pylist() == ["propositions"]
    path.write_text("premise,hypothesis,probability\nA dog,An animal,95\n")
    with pytest.raises(InputError, match=r"line 2, column 'probability': 95 is outside the scale from 0 to 1"):
        read_propositions(path)
    path.write_text("statement\nA dog\n")
    with pytest.raises(InputError, match="'premise' or 'text'"):
        premises_of(premise_columns(path, {}))


def test_an_update_makes_a_proposition_whose_parent_is_the_plain_one(tmp_path: Path) -> None:
    rows = [f"{STRONGER},strengthener", f"{WEAKER},Weakener", ","]
    batch = read_propositions(updates_file(tmp_path / "updates.csv", *rows))
    assert batch.drops == []
    texts = dict(zip(*(batch.premises[name].to_pylist() for name in ("premise_id", "text")), strict=True))
    parent = records.proposition_id(PREMISE, HYPOTHESIS)
    assert [
        (texts[row["premise_id"]], row["hypothesis"], row["kind"], row["parent_id"])
        for row in batch.propositions.to_pylist()
    ] == [
        (PREMISE, HYPOTHESIS, "imported", None),
        (f"{PREMISE} {STRONGER}", HYPOTHESIS, "strengthened", parent),
        (f"{PREMISE} {WEAKER}", HYPOTHESIS, "weakened", parent),
    ]
    for row in batch.propositions.to_pylist():
        assert row["proposition_id"] == records.proposition_id(texts[row["premise_id"]], HYPOTHESIS)
        assert row["premise_id"] == records.premise_id(texts[row["premise_id"]])


def test_an_update_of_an_update_has_the_split_of_the_first_premise(tmp_path: Path) -> None:
    path = tmp_path / "chain.jsonl"
    longer = f"{PREMISE} {STRONGER}"
    rows = [  # the longer premise comes first, and its parent behind it
        {"premise": longer, "hypothesis": HYPOTHESIS, "update": WEAKER, "update_type": "weakener"},
        {"premise": PREMISE, "hypothesis": HYPOTHESIS, "update": STRONGER, "update_type": "strengthener"},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    ids = [records.premise_id(text) for text in (PREMISE, longer, f"{longer} {WEAKER}")]
    for thousandth in range(1000):  # shares under which the root and the others would part
        shares = (thousandth / 1000, 0.0)
        if len({records.split_of(one, *shares) for one in ids}) > 1:
            batch = read_propositions(path, split_shares=shares)
            assert batch.propositions["premise_id"].to_pylist() == [ids[1], ids[2], ids[0]]
            assert set(batch.propositions["split"].to_pylist()) == {records.split_of(ids[0], *shares)}
            return
    pytest.fail("no shares part these premises")


def test_of_two_rows_that_contradict_each_other_the_second_is_dropped(tmp_path: Path) -> None:
    rows = [f"{WEAKER},weakener", f"{WEAKER},strengthener", f"{WEAKER},weakener"]
    batch = read_propositions(updates_file(tmp_path / "updates.csv", *rows))
    assert batch.propositions["kind"].to_pylist() == ["imported", "weakened"]
    (drop,) = batch.drops
    assert drop.subject_id == records.proposition_id(f"{PREMISE} {WEAKER}", HYPOTHESIS)
    assert (drop.reason, drop.detail) == (
        "another row says otherwise of this proposition",
        "strengthened, updates.csv, line 3",
    )


@pytest.mark.parametrize(
    ("row", "part"),
    [
        ("He waits.,", r"line 3, column 'update_type': empty"),
        ("He waits.,stronger", r"line 3, column 'update_type': 'stronger' is unknown; use strengthener or weakener"),
        (",weakener", r"line 3, column 'update': empty"),
    ],
)
def test_half_an_update_is_one_line_with_its_place(tmp_path: Path, row: str, part: str) -> None:
    path = updates_file(tmp_path / "updates.csv", f"{WEAKER},weakener", row)
    with pytest.raises(InputError, match=part) as caught:
        read_propositions(path)
    assert "\n" not in str(caught.value)


def test_real_updates_arrive_whole(defeasible_snli: Path) -> None:
    batch = read_propositions(defeasible_snli)
    expected = duckdb.sql(
        "SELECT count(DISTINCT (premise, hypothesis)), count(DISTINCT (premise, update, hypothesis)) "
        f"FROM '{defeasible_snli}'"
    ).fetchone()
    assert expected is not None
    kinds = batch.propositions["kind"].to_pylist()
    # Updates that differ in white space alone are one.
    assert (kinds.count("imported"), len(kinds) - kinds.count("imported")) == (
        expected[0],
        pytest.approx(expected[1], abs=3),
    )
    assert batch.propositions["parent_id"].null_count == expected[0]
    assert batch.drops == []
