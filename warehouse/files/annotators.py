"""Groups of annotators from a file. The annotators themselves come from Label Studio or an import."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from warehouse.catalog.connect import Warehouse
from warehouse.catalog.store import read as read_rows
from warehouse.files.header import Wanted, named
from warehouse.files.reading import AS_FOUND, Reading, TextColumns, read_columns
from warehouse.records import Annotator

GROUP_FIELDS = {
    "annotator": Wanted(("annotator",), True, "id"),
    "group": Wanted(("group",), True, "id"),
    "source": Wanted(("source",), kind="id"),
}


def group_columns(path: Path, columns: Mapping[str, str | None], reading: Reading = AS_FOUND) -> TextColumns:
    """Read the columns of a file of annotator groups. Raises `InputError` as `read_columns` does."""
    return read_columns(path, named(GROUP_FIELDS, columns), reading)


def groups_of(warehouse: Warehouse, read: TextColumns) -> list[Annotator]:
    """Return the annotators of a file with their new groups.

    A row names an annotator by its id in its source (such as an e-mail address) or by its pseudonym. Rows of people
    without judgments, such as those who left a study, are counted in `read.said`.

    Raises:
        InputError: No row's annotator is in the warehouse, several are called so, or one is in two groups.
    """
    known: dict[str, list[Annotator]] = {}
    for each in read_rows(warehouse, Annotator):
        for key in {each.source_id, each.pseudonym or each.source_id}:
            known.setdefault(key, []).append(each)
    found: dict[str, Annotator] = {}
    unknown: list[int] = []
    for index in range(len(read)):
        name, group, source = (read.value(index, field) for field in ("annotator", "group", "source"))
        if name is None or group is None:
            raise read.error(index, "annotator" if name is None else "group", "empty; fill it in")
        matching = [each for each in known.get(name, []) if source in (None, each.source)]
        if not matching:
            unknown.append(index)
            continue
        if len(matching) > 1:
            raise read.error(index, "annotator", f"{name!r} exists in several sources; add a column source")
        one = matching[0].model_copy(update={"annotator_group": group})
        if found.setdefault(one.annotator_id, one).annotator_group != group:
            raise read.error(index, "group", f"{name!r} is in another group above; an annotator can only have one")
    if unknown:
        first = f"{read.value(unknown[0], 'annotator')!r}"
        if not found:
            raise read.error(unknown[0], "annotator", f"{first} has no judgments yet; import or pull judgments first")
        read.said.append(f"{len(unknown):,} rows left out whose annotators have no judgments, the first {first}")
    return list(found.values())
