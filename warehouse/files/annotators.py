"""Groups of annotators, from a person's file: the annotators themselves come from Label Studio or an import."""

from __future__ import annotations

from pathlib import Path

from warehouse.connect import Warehouse
from warehouse.files.formats import read_columns
from warehouse.records import Annotator
from warehouse.store import read


def read_groups(warehouse: Warehouse, path: Path) -> list[Annotator]:
    """The annotators of a file with the groups that it gives them: columns annotator, group and, if wanted, source.

    An annotator is named by its id at its source (such as an e-mail address) or by its name.

    Raises:
        InputError: with the row, for an annotator that is not in the warehouse or a name that several have.
    """
    columns = read_columns(path, ["annotator", "group"], ["source"])
    known: dict[str, list[Annotator]] = {}
    for each in read(warehouse, Annotator):
        for name in {each.source_id, each.name} - {None}:
            known.setdefault(str(name), []).append(each)
    sources = columns.columns.get("source")
    found = []
    for index in range(len(columns)):
        name, group = (columns.columns[column][index].as_py() for column in ("annotator", "group"))
        source = sources[index].as_py() if sources is not None else None
        if name is None or group is None:
            raise columns.error(index, "annotator" if name is None else "group", "it is empty: fill it in")
        matching = [each for each in known.get(name, []) if source in (None, each.source)]
        if not matching:
            raise columns.error(index, "annotator", f"{name!r} has judged nothing yet: import or pull judgments first")
        if len(matching) > 1:
            raise columns.error(index, "annotator", f"{name!r} is known from several sources: add a column source")
        found.append(matching[0].model_copy(update={"annotator_group": group}))
    return found
