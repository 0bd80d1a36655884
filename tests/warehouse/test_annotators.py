from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.store import made_annotator, made_rows
from warehouse import Warehouse
from warehouse.catalog.store import Merged, merge, merge_all, read
from warehouse.errors import InputError
from warehouse.files.annotators import group_columns, groups_of
from warehouse.files.imports import read_judgments
from warehouse.records import Annotator


def groups(warehouse: Warehouse) -> dict[str, str | None]:
    return {each.source_id: each.annotator_group for each in read(warehouse, Annotator)}


def test_a_file_puts_annotators_into_groups_and_a_later_pull_leaves_them_there(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    merge_all(warehouse, made_rows([("p", "a", 0.5), ("p", "b", 0.5)]))
    (tmp_path / "groups.csv").write_text("annotator,group\na,experts\n")
    assert merge(warehouse, groups_of(warehouse, group_columns(tmp_path / "groups.csv", {}))) == Merged(updated=1)
    assert groups(warehouse) == {"a": "experts", "b": None}
    assert merge(warehouse, [made_annotator("a"), made_annotator("b")]) == Merged(unchanged=2)
    renamed = made_annotator("a").model_copy(update={"pseudonym": "Ada"})
    assert merge(warehouse, [renamed]) == Merged(updated=1)
    assert groups(warehouse) == {"a": "experts", "b": None}
    (tmp_path / "groups.csv").write_text("annotator,group\nAda,novices\n")
    assert merge(warehouse, groups_of(warehouse, group_columns(tmp_path / "groups.csv", {}))) == Merged(updated=1)


def test_an_unknown_or_ambiguous_annotator_is_said_with_its_row(warehouse: Warehouse, tmp_path: Path) -> None:
    other = made_annotator("a").model_copy(update={"annotator_id": "x", "source": "elsewhere"})
    merge(warehouse, [made_annotator("a"), other])
    path = tmp_path / "groups.csv"
    path.write_text("annotator,group\nnobody,experts\n")
    with pytest.raises(InputError, match=r"line 2, column 'annotator'.*no judgments yet"):
        groups_of(warehouse, group_columns(path, {}))
    path.write_text("annotator,group\na,experts\n")
    with pytest.raises(InputError, match="several sources"):
        groups_of(warehouse, group_columns(path, {}))
    path.write_text("annotator,group,source\na,experts,elsewhere\n")
    assert [each.annotator_id for each in groups_of(warehouse, group_columns(path, {}))] == ["x"]


def test_people_without_judgments_are_left_out_and_counted(warehouse: Warehouse, tmp_path: Path) -> None:
    merge(warehouse, [made_annotator("a"), made_annotator("b")])
    path = tmp_path / "people.csv"
    path.write_text("annotator,group\ngone,Male\na,Female\naway,Male\nb,Male\na,Female\n")
    read = group_columns(path, {})
    assert merge(warehouse, groups_of(warehouse, read)) == Merged(updated=2)
    assert read.said == ["2 rows left out whose annotators have no judgments, the first 'gone'"]
    path.write_text("annotator,group\na,Female\na,Male\n")
    with pytest.raises(InputError, match=r"line 3, column 'group': 'a' is in another group above"):
        groups_of(warehouse, group_columns(path, {}))


def test_judgments_bring_the_groups_of_their_annotators(tmp_path: Path) -> None:
    path = tmp_path / "judgments.csv"
    path.write_text("premise,hypothesis,annotator,rating,group\nP,H,a,10,one\nP,H,b,20,\nP,I,a,30,one\n")
    rows = read_judgments(path).annotators.to_pylist()
    assert {row["source_id"]: row["annotator_group"] for row in rows} == {"a": "one", "b": None}
    path.write_text("premise,hypothesis,annotator,rating,group\nP,H,a,10,one\nP,I,a,30,two\n")
    with pytest.raises(InputError, match=r"line 3, column 'group'.*can only have one group"):
        read_judgments(path)
