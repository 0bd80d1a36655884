from __future__ import annotations

from itertools import product

import pytest

from tests.fixtures.store import on_sqlite
from warehouse import Warehouse
from warehouse.catalog.store import merge
from warehouse.queries.routes import Place, Route, check_purposes, unpushed_propositions
from warehouse.records import Check, Premise, Proposition, Task, premise_id, proposition_id, split_of

ROUTES = (Route(sources=("news",), languages=("fr",)), Route(languages=("fr", "de")), Route(sources=("web",)), Route())
PLACES = {
    text: Place(text, route=route, earlier=ROUTES[:number])
    for number, (text, route) in enumerate(zip("abcd", ROUTES, strict=True))
}


@pytest.fixture
def texts(warehouse: Warehouse) -> dict[str, str]:
    """One proposition for each of three sources and three languages; returns their ids by source and language."""
    ids = {}
    for source, language in product(("news", "web", "book"), ("fr", "de", "en")):
        text = f"{source}/{language}"
        ids[text] = proposition_id(text, "x")
        home = premise_id(text)
        merge(warehouse, [Premise(premise_id=home, text=text, source=source, language=language)])
        proposition = Proposition(
            proposition_id=ids[text],
            premise_id=home,
            hypothesis="x",
            kind="imported",
            source=source,
            split=split_of(home),
        )
        merge(warehouse, [proposition])
    return ids


def pending(warehouse: Warehouse, place: Place) -> set[str]:
    return {one.premise for one in unpushed_propositions(warehouse, place)}


@on_sqlite
def test_each_proposition_goes_to_the_first_project_that_takes_it(warehouse: Warehouse, texts: dict[str, str]) -> None:
    taken = {name: pending(warehouse, place) for name, place in PLACES.items()}
    assert taken == {
        "a": {"news/fr"},
        "b": {"news/de", "web/fr", "web/de", "book/fr", "book/de"},
        "c": {"web/en"},
        "d": {"news/en", "book/en"},
    }
    assert sorted(name for names in taken.values() for name in names) == sorted(texts)


@on_sqlite
def test_what_has_a_task_stays_where_it_is(warehouse: Warehouse, texts: dict[str, str]) -> None:
    merge(warehouse, [Task(task_id="1", proposition_id=texts["web/en"], project="d", source_id="17")])
    assert pending(warehouse, Place("c", route=ROUTES[2], earlier=ROUTES[:2], others=("a", "b", "d"))) == set()
    assert pending(warehouse, PLACES["d"]) == {"news/en", "book/en"}
    assert pending(warehouse, Place("new")) == set(texts), "a project that is not in use holds nothing back"
    repeat = Task(task_id="2", proposition_id=texts["book/en"], project="new", source_id="18", purpose="repeat")
    merge(warehouse, [repeat])
    assert pending(warehouse, Place("new")) == set(texts), "its first task was deleted"


@on_sqlite
def test_checks_go_where_their_purpose_says(warehouse: Warehouse, texts: dict[str, str]) -> None:
    purposes = {"news/fr": "practice", "web/en": "qualification", "book/en": "attention"}
    checks = [
        Check.model_validate(
            {"check_id": text, "proposition_id": texts[text], "low": 0.0, "high": 0.2, "purpose": purpose}
        )
        for text, purpose in purposes.items()
    ]
    merge(warehouse, checks)
    assert pending(warehouse, Place("q", "qualification")) == {"news/fr", "web/en"}
    assert pending(warehouse, Place("q", "qualification", Route(languages=("fr",)))) == {"news/fr"}
    assert pending(warehouse, Place("s")) == set(texts) - {"news/fr", "web/en"}
    assert check_purposes(warehouse, "study") == {texts["book/en"]: "check"}
    assert check_purposes(warehouse, "qualification") == {
        texts["news/fr"]: "practice",
        texts["web/en"]: "qualification",
    }
    merge(warehouse, [checks[1].model_copy(update={"check_id": "both", "purpose": "attention"})])
    assert "web/en" in pending(warehouse, Place("s")), "a check among the study's propositions too"
