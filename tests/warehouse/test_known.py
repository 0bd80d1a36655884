"""Named formats, labels without annotators, ordinal labels, lists and counts of responses, stated splits."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.fixtures.store import DATA
from warehouse.errors import InputError
from warehouse.files.imports import JudgmentBatch, read_judgments
from warehouse.files.judgment_columns import JudgmentMapping
from warehouse.files.texts import read_propositions
from warehouse.records import premise_id
from warehouse.scales import slider_to_probability


def table(path: Path, rows: list[dict[str, Any]]) -> Path:
    """The rows as JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def csv(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def values(batch: JudgmentBatch) -> list[float]:
    found: list[float] = batch.judgments["probability"].to_pylist()
    return found


def refused(path: Path, mapping: JudgmentMapping) -> str:
    with pytest.raises(InputError) as error:
        read_judgments(path, mapping)
    assert "\n" not in str(error.value)
    return str(error.value)


PAIR = {"premise": "A man sings.", "hypothesis": "A man performs."}


def test_unli_is_read_as_published_and_from_its_slider(tmp_path: Path) -> None:
    published = "id,pre,hyp,nli,unli\n1,A man sings.,A man performs.,1,0.946\n2,A man sings.,A man sleeps.,0,0.01\n"
    batch = read_judgments(csv(tmp_path / "train.csv", published), JudgmentMapping(format="unli"))
    assert values(batch) == [0.946, 0.01]
    assert batch.annotators["kind"].to_pylist() == ["aggregate"]
    assert batch.judgments["width"].to_pylist() == [None, None]
    slider = csv(tmp_path / "slider.csv", "premise,hypothesis,slider\na,b,6000\na,c,2500\n")
    expected = slider_to_probability([6000, 2500]).tolist()
    assert values(read_judgments(slider, JudgmentMapping(format="unli"))) == pytest.approx(expected)
    assert expected == pytest.approx([0.607838, 5.52473e-4], rel=1e-5)
    named = csv(tmp_path / "named.csv", "premise,hypothesis,raw\na,b,6000\n")
    mapping = JudgmentMapping(format="unli", rating="raw", scale=(0, 10_000))
    assert values(read_judgments(named, mapping)) == pytest.approx([0.607838], rel=1e-5)
    assert "outside the scale from 0 to 1" in refused(named, JudgmentMapping(format="unli", rating="raw"))
    assert "no column 'unli' or 'label' or 'slider'" in refused(named, JudgmentMapping(format="unli"))


def test_a_label_of_joci_is_an_interval(tmp_path: Path) -> None:
    text = "CONTEXT,HYPOTHESIS,LABEL,SUBSET\na,b,1,AGCI\na,c,5,SNLI\na,d,3,SNLI\n"
    path = csv(tmp_path / "joci.csv", text)
    batch = read_judgments(path, JudgmentMapping(format="joci"))
    assert values(batch) == pytest.approx([0.1, 0.9, 0.5])
    assert batch.judgments["width"].to_pylist() == [0.2] * 3
    assert batch.judgments["batch"].to_pylist() == ["AGCI", "SNLI", "SNLI"]
    zero = csv(tmp_path / "b.csv", "CONTEXT,HYPOTHESIS,LABEL\na,b,0\n")
    assert "0 is outside the scale from 1 to 5" in refused(zero, JudgmentMapping(format="joci"))


def test_ordinal_labels_of_known_annotators(tmp_path: Path) -> None:
    path = csv(tmp_path / "file.csv", "premise,hypothesis,annotator,rating\na,b,x,-1\na,b,y,1\na,c,x,0\n")
    batch = read_judgments(path, JudgmentMapping(ordinal=(-1, 1)))
    assert values(batch) == pytest.approx([1 / 6, 5 / 6, 0.5])
    assert batch.judgments["width"].to_pylist() == pytest.approx([1 / 3] * 3)
    assert batch.annotators["kind"].to_pylist() == ["imported"] * 2
    path = csv(tmp_path / "half.csv", "premise,hypothesis,annotator,rating\na,b,x,1.5\n")
    assert "line 2, column 'rating': 1.5 is not a label from 1 to 5" in refused(path, JudgmentMapping(ordinal=(1, 5)))


def test_labels_without_annotators_all_count(tmp_path: Path) -> None:
    path = csv(tmp_path / "file.csv", "premise,hypothesis,rating\na,b,70\na,b,90\na,c,10\n")
    batch = read_judgments(path, JudgmentMapping(annotator_kind="aggregate"))
    assert values(batch) == [0.7, 0.9, 0.1]
    # The second label of a proposition is that of another stand-in, or it would be a repeat that does not count.
    assert batch.annotators["source_id"].to_pylist() == ["label 1", "label 2"]
    again = read_judgments(path, JudgmentMapping(annotator_kind="aggregate"))
    assert again.judgments["judgment_id"] == batch.judgments["judgment_id"]
    assert len(set(batch.judgments["judgment_id"].to_pylist())) == 3
    assert "--aggregated" in refused(path, JudgmentMapping())
    mapping = JudgmentMapping(annotator_kind="aggregate", annotator="rating")
    assert "annotators of kind aggregate are not known" in refused(path, mapping)


@pytest.mark.parametrize(
    ("cell", "more", "expected"),
    [
        ([70, 80.5, 100], {}, [0.7, 0.805, 1.0]),
        ([70, None, float("nan"), 100], {}, [0.7, 1.0]),
        ({"0": 2, "50": 1}, {}, [0.0, 0.0, 0.5]),
        ([2, 0, 1], {"counted": (0.0, 50.0, 100.0)}, [0.0, 0.0, 1.0]),
        ([2.0, float("nan"), 1.0], {"counted": (0.0, 50.0, 100.0)}, [0.0, 0.0, 1.0]),
        ([1, 3], {"ordinal": (1, 5)}, [0.1, 0.5]),
    ],
)
@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_cell_may_hold_several_responses(
    tmp_path: Path, cell: object, more: Mapping[str, Any], expected: list[float], kind: str
) -> None:
    rows: list[dict[str, Any]] = [{**PAIR, "given": cell}, {**PAIR, "hypothesis": "Nobody sings.", "given": None}]
    path = tmp_path / f"file.{kind}"
    if kind == "jsonl":
        table(path, rows)
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        quoted = json.dumps(cell).replace('"', '""')
        path.write_text(f'premise,hypothesis,given\nA man sings.,A man performs.,"{quoted}"\nA man sings.,No.,\n')
    batch = read_judgments(path, JudgmentMapping(responses="given", **more))
    assert values(batch) == pytest.approx(expected)
    assert set(batch.annotators["kind"].to_pylist()) == {"anonymous"}
    assert [drop.reason for drop in batch.drops] == ["no rating"]
    assert len(set(batch.judgments["annotator_id"].to_pylist())) == len(expected)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("[70, 180]", "180 is outside the scale from 0 to 100"),
        ('["x"]', "'x' is not a number"),
        ('{"70": -1}', "'-1' is not a count"),
        ('{"70": 1.5}', "'1.5' is not a count"),
        ('{"70": 20000}', "more than 10,000 responses"),
        ("[]", "it holds no response"),
        ("[null]", "it holds no response"),
        ("{70", "broken JSON"),
        ("70", "not a list such as"),
    ],
)
def test_responses_that_cannot_be_read_are_named(tmp_path: Path, cell: str, said: str) -> None:
    path = table(tmp_path / "file.jsonl", [{**PAIR, "given": cell}])
    message = refused(path, JudgmentMapping(responses="given"))
    assert message.startswith(f"{path}, line 1, column 'given': ")
    assert said in message


def chaos(number: int, e: int, n: int, c: int) -> dict[str, Any]:
    """A row as ChaosNLI publishes them, made up."""
    return {
        "uid": f"{number}n",
        "label_counter": {key: count for key, count in (("e", e), ("n", n), ("c", c)) if count},
        "majority_label": "n",
        "label_dist": [e / 100, n / 100, c / 100],
        "label_count": [e, n, c],
        "entropy": 1.0,
        "example": {"uid": f"{number}n", "premise": f"premise {number}", "hypothesis": "h", "source": "mnli_m"},
        "old_label": "n",
        "old_labels": ["n", "n"],
    }


def test_chaosnli_is_a_response_for_each_of_its_labels(tmp_path: Path) -> None:
    path = table(tmp_path / "chaos.jsonl", [chaos(1, 76, 20, 4), chaos(2, 0, 99, 1)])
    batch = read_judgments(path, JudgmentMapping(format="chaosnli"))
    assert Counter(values(batch)) == {1.0: 76, 0.5: 119, 0.0: 5}
    assert batch.annotators.num_rows == 100
    assert set(batch.judgments["batch"].to_pylist()) == {"mnli_m"}
    counts = JudgmentMapping(format="chaosnli", responses="label_count")
    assert Counter(values(read_judgments(path, counts))) == Counter(values(batch))
    shares = JudgmentMapping(format="chaosnli", responses="label_dist")
    assert "'0.76' is not a count" in refused(path, shares)
    # The abductive part has other labels and no premise.
    other = chaos(3, 50, 50, 0) | {"label_counter": {"1": 60, "2": 40}}
    assert "outside the scale" in refused(table(tmp_path / "alpha.jsonl", [other]), JudgmentMapping(format="chaosnli"))


def test_the_size_of_chaosnli_is_read_at_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [chaos(number, *rng.multinomial(100, [0.4, 0.4, 0.2]).tolist()) for number in range(600)]
    batch = read_judgments(table(tmp_path / "chaos.jsonl", rows), JudgmentMapping(format="chaosnli"))
    assert batch.judgments.num_rows == 60_000
    assert len(set(batch.judgments["judgment_id"].to_pylist())) == 60_000


def test_commitment_bank_maps_its_scale_to_probabilities(tmp_path: Path) -> None:
    path = csv(
        tmp_path / "cb.csv", "source_id,premise,hypothesis,response,position\n1,a,b,-3,0\n1,a,b,3,1\n1,a,b,0,2\n"
    )
    batch = read_judgments(path, JudgmentMapping(format="commitment-bank"))
    assert values(batch) == [0.0, 1.0, 0.5]
    assert batch.judgments["width"].to_pylist() == [None] * 3
    assert batch.annotators["source_id"].to_pylist() == ["response 1", "response 2", "response 3"]


def test_a_stated_split_wins_over_the_hash(tmp_path: Path) -> None:
    words = ["train", "Validation", "val", "dev", "TEST", ""]
    rows = [{"premise": f"p{n}", "hypothesis": "h", "rating": 50, "split": word} for n, word in enumerate(words)]
    path = table(tmp_path / "file.jsonl", rows)
    mapping = JudgmentMapping(annotator_kind="aggregate")
    batch = read_judgments(path, mapping)
    stated = {row.premise_id: row.split for row in batch.stated}
    assert [stated.get(premise_id(f"p{n}")) for n in range(6)] == ["train", "dev", "dev", "dev", "test", None]
    splits = dict(
        zip(batch.propositions["premise_id"].to_pylist(), batch.propositions["split"].to_pylist(), strict=True)
    )
    assert splits.items() >= stated.items()
    whole = read_judgments(path, mapping, split="dev")
    assert {row.split for row in whole.stated} == {"dev"}
    assert len(whole.stated) == 6
    # Importing the same file again replaces what it stated.
    assert {row.stated_split_id for row in batch.stated} < {row.stated_split_id for row in whole.stated}
    assert read_judgments(path, JudgmentMapping(annotator_kind="aggregate", split=None)).stated == []


def test_of_several_stated_splits_of_a_premise_the_most_held_out_counts(tmp_path: Path) -> None:
    path = csv(
        tmp_path / "file.csv", "premise,hypothesis,rating,split\np,a,10,train\np,b,20,test\np,c,30,dev\nq,a,10,train\n"
    )
    batch = read_judgments(path, JudgmentMapping(annotator_kind="aggregate"))
    assert {row.premise_id: row.split for row in batch.stated} == {premise_id("p"): "test", premise_id("q"): "train"}
    assert any(said.startswith("premises with several splits: 1;") for said in batch.said)
    path = csv(tmp_path / "fold.csv", "premise,hypothesis,rating,split\np,a,1,fold 3\n")
    assert "'fold 3' is not train, dev or test; --column split=" in refused(
        path, JudgmentMapping(annotator_kind="aggregate")
    )


def test_updates_have_the_stated_split_of_their_premise(tmp_path: Path) -> None:
    path = csv(
        tmp_path / "d.csv",
        "Premise,Hypothesis,Update,UpdateType,split\nA man works.,He is old.,He is grey.,strengthener,val\n",
    )
    batch = read_propositions(path, format_="defeasible")
    assert batch.propositions["kind"].to_pylist() == ["imported", "strengthened"]
    assert batch.propositions["split"].to_pylist() == ["dev", "dev"]
    assert [row.premise_id for row in batch.stated] == [premise_id("A man works.")]
    bare = csv(tmp_path / "bare.csv", "premise,hypothesis\na,b\n")
    with pytest.raises(InputError, match="no column 'update'"):
        read_propositions(bare, format_="defeasible")


@pytest.mark.parametrize(
    ("file", "format_", "n", "kinds"),
    [
        ("nli_variation/judgments", "nli-variation", 18_472, {"imported"}),
        ("joci/train", "joci", 33_029, {"aggregate"}),
        ("commitment_bank/responses", "commitment-bank", 11_545, {"anonymous"}),
    ],
)
def test_public_files_are_read_whole(file: str, format_: Any, n: int, kinds: set[str]) -> None:
    path = DATA / f"{file}.parquet"
    if not path.exists():
        pytest.skip(f"{path} is missing: it holds real judgments that are not part of the project")
    batch = read_judgments(path, JudgmentMapping(format=format_))
    assert batch.judgments.num_rows == n
    assert set(batch.annotators["kind"].to_pylist()) == kinds
    assert batch.drops == []
    ratings = np.array(values(batch), np.float64)
    column = {"nli-variation": "rating", "joci": "label", "commitment-bank": "response"}[format_]
    raw = pq.read_table(path, columns=[column])[column].to_numpy().astype(np.float64)
    low, high = {"nli-variation": (0, 100), "joci": (0.5, 5.5), "commitment-bank": (-3, 3)}[format_]
    there = ~np.isnan(ratings)
    np.testing.assert_allclose(ratings[there], ((raw - low) / (high - low))[there])
