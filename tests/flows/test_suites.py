"""Evaluation sets by command: imported, held out of training, and measured for everyone in one table."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from flows.cycle import learning
from flows.elicit import elicit
from flows.evaluate import evaluate
from flows.evaluate_suites import Subjects, evaluate_all, evaluate_suites
from flows.models import models, models_use
from flows.promote import models_promote, promote_newest
from flows.publish import publish
from flows.settings.sections import EvaluationSettings, SeenItems
from flows.settings.settings import Settings, load_settings
from flows.suites import import_named, import_suite
from flows.train import train
from synthesis.panel.versions import estimator_version
from tests.fixtures.estimator import Base
from tests.fixtures.llm_runs import endpoint, install, labeler, others
from tests.fixtures.store import made_rows
from tests.synthesis.faulty_endpoint import answers, faulty
from training.identity import SEEN
from training.model.seen import write_seen
from warehouse import open_warehouse
from warehouse.catalog.store import merge_all, read
from warehouse.consensus.renew import renew_consensus
from warehouse.errors import InputError
from warehouse.records import (
    Difference,
    Drop,
    Estimate,
    Evaluation,
    Premise,
    PremiseGroup,
    Proposition,
    Score,
    Suite,
    SuiteItem,
    premise_id,
    proposition_id,
)
from warehouse.shards import read_split

pytestmark = pytest.mark.slow

TRAINING = 'kind = "encoder"\nmax_length = 64\nepochs = 1\nbatch_size = 40\ndevice = "cpu"\n'


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Base) -> Settings:
    """A home with two encoders, fitted on forty judged propositions."""
    folder = tmp_path_factory.mktemp("home")
    for more in ("seed = 0\n", "seed = 1\n"):
        (folder / "odds.toml").write_text(f'[training]\nbase = "{tiny_encoder.path}"\n{TRAINING}{more}')
        settings = load_settings(folder / "odds.toml")
        with open_warehouse(settings.catalog, read_only=False) as warehouse:
            merge_all(warehouse, made_rows([(f"p{n}", name, n / 40) for n in range(40) for name in "ab"]))
            renew_consensus(warehouse, "em")
        publish.fn(settings)
        train.fn(settings)
    # moved, so that copies open: a catalog where it was made only reads its data there
    return load_settings(folder.rename(folder.with_name("moved")) / "odds.toml")


@pytest.fixture
def settings(home: Settings, tmp_path: Path) -> Settings:
    shutil.copytree(home.home_path.parent, tmp_path / "copy")
    return load_settings(tmp_path / "copy" / "odds.toml")


def judged(path: Path, premises: list[str]) -> Path:
    return written(
        path,
        [
            {"premise": premise, "hypothesis": f"h {n}", "annotator": name, "rating": (7 * n + shift) % 100}
            for n, premise in enumerate(premises)
            for name, shift in (("a", 0), ("b", 9), ("c", 21))
        ],
    )


ALONE = "Nobody in the village remembers who built the old lighthouse."
THEIRS = ("theirs", "mse", None)
NEW = [f"The boat number {n} lies in harbour {n % 3}." for n in range(12)]


def test_every_subject_is_in_one_table(settings: Settings, tmp_path: Path) -> None:
    file = judged(tmp_path / "j.jsonl", NEW)
    outcome = import_suite(file, "boats", config=settings, family="correlation", license_="CC0")
    assert outcome.counts == {"items": 12, "propositions": 12, "new": 12, "dropped": 0}
    theirs: list[dict[str, Any]] = [
        {"premise": p, "hypothesis": f"h {n}", "score": n / 20} for n, p in enumerate(NEW[:10])
    ]
    other = models(config=settings)[1].model_id
    subjects = Subjects([other], {"theirs": written(tmp_path / "s.jsonl", theirs)})
    (found,) = evaluate_suites(["boats"], config=settings, subjects=subjects)
    assert found.n_items == 12
    assert found.n_seen == 0
    by_name = {(each.subject, each.metric): each for each in found.figures}
    names = ["estimator", f"estimator {other[:8]}", "theirs", "constant", "one-annotator"]
    assert list(dict.fromkeys(each.subject for each in found.figures)) == names
    assert by_name["theirs", "mse"].n == 10
    with open_warehouse(settings.catalog) as warehouse:
        assert read(warehouse, Suite)[0].license == "CC0"
        stored = read(warehouse, Evaluation, "suite = ?", ["boats"])
        assert len(read(warehouse, Difference)) == len(found.differences) > 0
        items = read(warehouse, SuiteItem)
        labels = {item.hypothesis: item.label or 0.0 for item in items}
        assert len(read(warehouse, Score)) == 24  # of both estimators
        # A suite is not what the pipeline works on.
        assert not read(warehouse, Premise, "text = ?", [NEW[0]])
    squares = [(row["score"] - labels[row["hypothesis"]]) ** 2 for row in theirs]
    assert by_name["theirs", "mse"].value == pytest.approx(sum(squares) / 10)
    assert {each.evaluation_id for each in stored} == {each.evaluation_id for each in found.figures}
    (again,) = evaluate_suites(["boats"], config=settings, subjects=subjects)
    assert [each.value for each in again.figures] == [each.value for each in found.figures]
    # A figure that a subject no longer has goes; those of a subject that is not measured now stay.
    with open_warehouse(settings.catalog, read_only=False) as warehouse:
        stale = by_name["estimator", "mse"].model_copy(update={"evaluation_id": "stale", "slice": "length=short"})
        merge_all(warehouse, [[stale]])
    evaluate_suites(["boats"], config=settings)
    with open_warehouse(settings.catalog) as warehouse:
        left = {each.evaluation_id for each in read(warehouse, Evaluation, "suite = ?", ["boats"])}
    assert left == {each.evaluation_id for each in found.figures}


def test_the_report_shows_the_suites(settings: Settings, tmp_path: Path) -> None:
    import_suite(judged(tmp_path / "j.jsonl", NEW), "boats", config=settings, family="correlation")
    import_suite(judged(tmp_path / "k.jsonl", NEW[:6]), "ferries", config=settings, family="correlation")
    rows: list[dict[str, Any]] = [{"premise": p, "hypothesis": f"h {n}", "score": n / 20} for n, p in enumerate(NEW)]
    theirs = {"theirs": written(tmp_path / "s.jsonl", rows)}
    used, other = (each.model_id for each in models(config=settings))
    folder = settings.home_path / "reports"
    evaluate_suites(["boats"], config=settings, subjects=Subjects(files=theirs))
    assert not folder.exists()  # the test split was not evaluated yet
    evaluate.fn(settings)
    page = folder / f"{used}.html"
    before = page.read_text()
    assert re.findall(r"<h3>(boats|ferries)</h3>", before) == ["boats"]
    with open_warehouse(settings.catalog) as warehouse:
        labels = {each.hypothesis: each.label or 0.0 for each in read(warehouse, SuiteItem)}
    error = np.mean([(row["score"] - labels[row["hypothesis"]]) ** 2 for row in rows])
    section = before[before.index("<h3>boats</h3>") :]
    row = section[section.index('<th scope="row">theirs</th>') :]
    assert f'data-label="MSE"><span>{error:.3f}<' in row[: row.index("</tr>")]
    # measuring on suites renews the report of the estimator that was measured, and no other
    evaluate_suites(["ferries"], config=settings, model=other)
    assert page.read_text() == before
    assert list(folder.iterdir()) == [page]
    evaluate_suites(["ferries"], config=settings)
    assert re.findall(r"<h3>(boats|ferries)</h3>", page.read_text()) == ["boats", "ferries"]


def test_files_of_scores_that_do_not_fit_are_refused(settings: Settings, tmp_path: Path) -> None:
    import_suite(judged(tmp_path / "j.jsonl", NEW), "boats", config=settings, family="correlation")
    rows: list[dict[str, Any]] = [{"text": p, "hypothesis": f"h {n}", "p": n / 20} for n, p in enumerate(NEW)]
    named = ("premise=text", "score=p")

    def found(rows: list[dict[str, Any]], columns: tuple[str, ...] = named) -> list[Evaluation]:
        subjects = Subjects(files={"theirs": written(tmp_path / "s.jsonl", rows)}, columns=columns)
        return evaluate_suites(["boats"], config=settings, subjects=subjects)[0].figures

    with pytest.raises(InputError, match=r"no column 'premise', only text, .*--column premise=COLUMN"):
        found(rows, ())
    (error,) = [each for each in found([*rows, rows[3]]) if (each.subject, each.metric, each.slice) == THEIRS]
    assert error.n == 12
    with pytest.raises(InputError, match=r"s\.jsonl, line 13, column 'p': 0\.9 after 0\.15 for the same premise"):
        found([*rows, rows[3] | {"p": 0.9}])
    with pytest.raises(InputError, match=r"s\.jsonl: no row has a premise and hypothesis of boats; write them as in"):
        found([row | {"text": row["text"].upper()} for row in rows])


def test_an_item_that_is_too_long_for_the_estimator_is_a_drop(settings: Settings, tmp_path: Path) -> None:
    rows = [
        {"premise": NEW[0], "hypothesis": hypothesis, "annotator": name, "rating": 40}
        for hypothesis in ("It floats.", "It floats. " * 100)
        for name in "ab"
    ]
    import_suite(written(tmp_path / "j.jsonl", rows), "boats", config=settings, family="correlation")
    for _ in range(2):  # it waits for a score each time, and is counted once
        evaluate_suites(["boats"], config=settings)
        with open_warehouse(settings.catalog) as warehouse:
            (short, long) = sorted(read(warehouse, SuiteItem), key=lambda item: len(item.hypothesis))
            assert [row.proposition_id for row in read(warehouse, Score)] == [short.proposition_id]
            assert [(row.subject_id, row.stage) for row in read(warehouse, Drop)] == [(long.proposition_id, "score")]


def test_the_figures_of_a_folder_are_never_under_the_name_of_another_subject(
    settings: Settings, tmp_path: Path
) -> None:
    import_suite(judged(tmp_path / "j.jsonl", NEW), "boats", config=settings, family="correlation")
    used, other = (each.path for each in models(config=settings))
    for name in ("estimator", "constant", "one-annotator", "5-annotators", "a/best", "b/best"):
        shutil.copytree(used if name == "a/best" else other, tmp_path / name)
    for names in (["estimator"], ["constant"], ["one-annotator"], ["5-annotators"], ["a/best", "b/best"]):
        subjects = Subjects([str(tmp_path / name) for name in names])
        with pytest.raises(InputError, match=f"{names[-1]}: .* is the name of another subject; rename this folder"):
            evaluate_suites(["boats"], config=settings, subjects=subjects)
    shutil.copytree(other, tmp_path / "twin")
    both = Subjects([str(tmp_path / "twin"), str(tmp_path / "b/best")])
    (found,) = evaluate_suites(["boats"], config=settings, subjects=both)
    assert {"best", "twin"} <= {each.subject for each in found.figures}
    (found,) = evaluate_suites(["boats", "boats"], config=settings, subjects=Subjects([str(tmp_path / "b/best")] * 2))
    assert [each.value for each in found.figures if (each.subject, each.metric) == ("best", "mse")] != [
        each.value for each in found.figures if (each.subject, each.metric) == ("estimator", "mse")
    ]


def test_its_premises_and_those_like_them_are_never_trained_on(settings: Settings, tmp_path: Path) -> None:
    with open_warehouse(settings.catalog) as warehouse:
        texts = {row.premise_id: row.text for row in read(warehouse, Premise)}
    folder = next(iter((settings.home_path / "datasets" / "odds").iterdir()))
    trained = read_split(folder, "train")["premise_id"].to_pylist()
    same = [texts[name] for name in trained[:3]]
    import_suite(judged(tmp_path / "j.jsonl", [*same, *NEW[:5]]), "seen", config=settings, family="correlation")
    (found,) = evaluate_suites(["seen"], config=settings)
    assert (found.n_items, found.n_seen, found.left_out) == (5, 3, True)
    (kept,) = evaluate_suites(["seen"], config=settings, seen="mark")
    assert (kept.n_items, kept.n_seen, kept.left_out) == (8, 3, False)
    import_suite(judged(tmp_path / "k.jsonl", same), "all-seen", config=settings, family="correlation")
    cases: list[tuple[SeenItems, set[int]]] = [("mark", {3}), ("leave-out", {0})]
    for seen, n in cases:
        evaluate_suites(["all-seen"], config=settings, seen=seen)
        with open_warehouse(settings.catalog) as warehouse:
            assert {each.n for each in read(warehouse, Evaluation, "suite = 'all-seen' AND metric = 'mse'")} == n
    publish.fn(settings)
    newest = max((settings.home_path / "datasets" / "odds").iterdir(), key=lambda each: int(each.name[1:]))
    assert not set(trained[:3]) & set(read_split(newest, "train")["premise_id"].to_pylist())


def test_only_what_is_measured_is_scored(settings: Settings, tmp_path: Path) -> None:
    with open_warehouse(settings.catalog) as warehouse:
        texts = {row.premise_id: row.text for row in read(warehouse, Premise)}
    folder = next(iter((settings.home_path / "datasets" / "odds").iterdir()))
    same = [texts[name] for name in read_split(folder, "train")["premise_id"].to_pylist()[:3]]
    import_suite(judged(tmp_path / "j.jsonl", [*same, *NEW[:5]]), "seen", config=settings, family="correlation")
    for evaluation, n in ((EvaluationSettings(), 5), (EvaluationSettings(seen="mark"), 8)):
        evaluate_suites(["seen"], config=settings.model_copy(update={"evaluation": evaluation}))
        with open_warehouse(settings.catalog) as warehouse:
            assert len(read(warehouse, Score)) == n


@pytest.mark.parametrize("evaluation", [EvaluationSettings(), EvaluationSettings(seen="mark")])
def test_nothing_is_promoted_by_what_it_learned_from(
    settings: Settings, tmp_path: Path, evaluation: EvaluationSettings
) -> None:
    settings = settings.model_copy(update={"evaluation": evaluation})
    with open_warehouse(settings.catalog) as warehouse:
        texts = {row.premise_id: row.text for row in read(warehouse, Premise)}
    folder = next(iter((settings.home_path / "datasets" / "odds").iterdir()))
    same = [texts[name] for name in read_split(folder, "train")["premise_id"].to_pylist()[:3]]
    import_suite(judged(tmp_path / "j.jsonl", same), "seen", config=settings, family="correlation")
    found = models_promote(models(config=settings)[1].model_id, config=settings)
    assert not found.promoted
    assert found.reason.startswith("nothing could be measured, since all 3 items were left out: one of the two learned")


def test_what_an_estimator_and_its_base_learned_from_goes_with_its_folder(settings: Settings, tmp_path: Path) -> None:
    data = next(iter((settings.home_path / "datasets" / "odds").iterdir()))
    trained, held_out = read_split(data, "train"), read_split(data, "test")
    premises = [*trained["premise"].to_pylist()[:3], *NEW[:5], ALONE]
    import_suite(judged(tmp_path / "j.jsonl", premises), "seen", config=settings, family="correlation")
    used = next(each for each in models(config=settings) if each.state == "in use")
    elsewhere = shutil.copytree(used.path, tmp_path / "theirs")
    (found,) = evaluate_suites(["seen"], config=settings, model=str(elsewhere))
    assert (found.n_items, found.n_seen) == (6, 3)
    # as if it had been fitted from one that learned from a premise of the suite and from one of the test split
    before = tmp_path / "before"
    before.mkdir()
    known = [premise_id(ALONE), held_out["premise_id"][0].as_py(), "much like the second"]
    group = {"group_id": held_out["premise_id"][2].as_py(), "reason": "near-duplicate", "split": "test"}
    with open_warehouse(settings.catalog, read_only=False) as warehouse:
        pair = ("much like the second", group["group_id"])
        merge_all(warehouse, [[PremiseGroup(premise_id=each, **group) for each in pair]])
    write_seen(before, "nothing", [pa.table({"premise_id": pa.array(known)})])
    write_seen(used.path, str(before), [trained])
    (found,) = evaluate_suites(["seen"], config=settings)
    assert (found.n_items, found.n_seen) == (5, 4)
    note = evaluate.fn(settings).note
    like = held_out.filter(pc.is_in(held_out["premise_id"], pa.array([known[1], group["group_id"]]))).num_rows
    assert like == 2
    why = "their premises, or some like them, were in the training of its base"
    assert f"{like} propositions of the test split left out: {why}" in note
    with open_warehouse(settings.catalog) as warehouse:
        (figure,) = read(warehouse, Evaluation, "subject = 'estimator' AND metric = 'mse' AND suite = 'consensus'")
    assert figure.n == held_out.num_rows - like
    write_seen(used.path, str(before), [held_out])
    with pytest.raises(InputError, match="every premise of its test split that has judgments was in"):
        evaluate.fn(settings)
    (used.path / SEEN).write_bytes(b"no parquet")
    with pytest.raises(InputError, match=r"premises\.parquet cannot be read; copy the estimator again"):
        evaluate.fn(settings)


def test_an_estimator_in_the_panel_is_not_measured_on_what_it_learned_from(settings: Settings, tmp_path: Path) -> None:
    import_suite(judged(tmp_path / "j.jsonl", [*NEW, ALONE]), "boats", config=settings, family="correlation")
    other = models(config=settings)[1]
    write_seen(other.path, "nothing", [pa.table({"premise_id": pa.array([premise_id(ALONE)])})])
    with open_warehouse(settings.catalog, read_only=False) as warehouse:
        ids = [each.proposition_id for each in read(warehouse, SuiteItem)]
        own = [
            Estimate(
                estimate_id=each,
                proposition_id=each,
                labeler="ours",
                labeler_version=estimator_version(other.model_id),
                method="estimator",
                probability=0.5,
            )
            for each in ids
        ]
        llm = {"labeler": "llm", "labeler_version": "1", "method": "token"}
        asked = [each.model_copy(update=llm | {"estimate_id": f"llm {each.estimate_id}"}) for each in own]
        merge_all(warehouse, [[*own, *asked]])
    (found,) = evaluate_suites(["boats"], config=settings)
    n = {each.subject: each.n for each in found.figures if (each.metric, each.slice) == ("mse", None)}
    assert (n["estimator"], n["labeler:ours"], n["labeler:llm"]) == (13, 12, 13)


def test_the_commands_print_tables_of_80_columns(settings: Settings, tmp_path: Path) -> None:
    config = ["--config", str(settings.home_path.parent / "odds.toml")]
    updates = [
        {"premise": p, "hypothesis": "It is warm.", "update": u, "update_type": kind}
        for p in NEW
        for u, kind in (("The sun shines.", "strengthener"), ("It snows.", "weakener"))
    ]
    file = written(tmp_path / "u.jsonl", updates)
    run = CliRunner()
    command = [*config, "import", "suite", str(file), "--name", "weather", "--format", "defeasible"]
    assert run.invoke(app, command).output.startswith("import suite: 24 items, 48 propositions")
    found = run.invoke(app, [*config, "evaluate", "--suite", "all"], env={"COLUMNS": "80"})
    assert found.exit_code == 0, found.output
    lines = found.output.splitlines()
    assert "weather: 24 items" in found.output
    assert any(line.split()[:3] == ["constant", "24", "0.500"] for line in lines)
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["evaluate", "--column", "score=p"], "--column names columns of --scores; give a file of scores too"),
        (["evaluate", "--suite", "all"], "there are no suites to measure on; odds import suite makes one"),
        (
            ["import", "suite", "{file}", "--name", " ", "--family", "correlation"],
            "a suite needs a name, and this one is empty",
        ),
        (["evaluate", "--suite", "boats"], "no suite boats; there are: none; odds import suite makes one"),
        (
            ["evaluate", "--model", "x"],
            "--model, --against, --scores, --base-yes-no and --seen need --suite NAME, or --suite all",
        ),
        (
            ["evaluate", "--suite", "all", "--scores", "x"],
            "--scores x must be NAME=FILE, such as deberta=deberta.jsonl",
        ),
        (
            ["evaluate", "--suite", "all", "--scores", "constant=x.jsonl"],
            "the scores constant: that is the name of another subject; choose a different one",
        ),
        (["import", "suite", "{file}", "--name", "s"], "a plain file needs --family correlation, update or choice"),
        (
            ["import", "suite", "{file}", "--name", "s", "--format", "joci", "--family", "choice"],
            "--family choice does not fit --format joci, which makes a suite of correlation",
        ),
        (
            ["import", "suite", "{file}", "--name", "s", "--format", "copa", "--scale", "0:10"],
            "--scale means nothing for a suite of choice; leave it out",
        ),
        (
            ["import", "suite", "{file}", "--name", "s", "--family", "correlation", "--first", "1"],
            "--first means nothing for a suite of correlation; leave it out",
        ),
    ],
)
def test_mistakes_get_one_line(settings: Settings, tmp_path: Path, arguments: list[str], line: str) -> None:
    file = judged(tmp_path / "j.jsonl", NEW)
    given = [str(file) if each == "{file}" else each for each in arguments]
    found = CliRunner().invoke(app, ["--config", str(settings.home_path.parent / "odds.toml"), *given])
    assert isinstance(found.exception, InputError)
    assert str(found.exception) == line


def test_a_suite_never_changes_under_its_name(settings: Settings, tmp_path: Path) -> None:
    import_suite(judged(tmp_path / "a.jsonl", NEW), "boats", config=settings, family="correlation")
    again = import_suite(judged(tmp_path / "a.jsonl", NEW), "boats", config=settings, family="correlation")
    assert again.counts["new"] == 0
    with pytest.raises(InputError, match=r"suite boats exists with other items, from a\.jsonl"):
        import_suite(judged(tmp_path / "b.jsonl", NEW[:4]), "boats", config=settings, family="correlation")


def test_suites_of_the_settings_are_imported_once_and_measured(settings: Settings, tmp_path: Path) -> None:
    root = settings.home_path.parent
    file = judged(root / "boats.jsonl", NEW)
    with (root / "odds.toml").open("a") as toml:
        toml.write('[[suites]]\nname = "boats"\nfile = "boats.jsonl"\nfamily = "correlation"\n')
    named = load_settings(root / "odds.toml")
    (found,) = evaluate_suites(config=named)
    assert (found.suite.name, found.suite.format, found.n_items) == ("boats", "plain", 12)
    assert [each.counts["new"] for each in import_named(named)] == [0]
    outcome = evaluate_all(named)
    assert outcome.counts == {"suites": 1, "items": 12}
    assert outcome.note.startswith("boats pearson ")
    judged(file, NEW[:4])
    with pytest.raises(InputError, match=r"suite boats exists with other items, from boats\.jsonl"):
        evaluate_suites(config=named)
    file.unlink()
    assert len(evaluate_suites(config=named)) == 1


def test_a_suite_of_the_settings_is_read_as_the_command_reads_it(settings: Settings, tmp_path: Path) -> None:
    root = settings.home_path.parent
    rows = [f"It rains on day {n}.,The street is wet.,{10 * n}" for n in range(5)]
    (root / "wet.csv").write_text("\n".join(["premise,hypothesis,answer", *rows]))
    options = 'columns = {rating = "answer"}\nscale = "0:100"\naggregated = true\n'
    with (root / "odds.toml").open("a") as toml:
        toml.write(f'[[suites]]\nname = "wet"\nfile = "wet.csv"\nfamily = "correlation"\n{options}')
    named = load_settings(root / "odds.toml")
    assert [each.counts["new"] for each in import_named(named)] == [5]
    with open_warehouse(named.catalog) as warehouse:
        labels = sorted(item.label for item in read(warehouse, SuiteItem) if item.label is not None)
    assert labels == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    again = import_suite(
        root / "wet.csv", "wet", config=named, family="correlation", columns=["rating=answer"], scale="0:100",
        aggregated=True,
    )  # fmt: skip
    assert again.counts["new"] == 0


def test_the_panel_is_asked_about_a_suite_only_if_it_is_named(tmp_path: Path) -> None:
    with faulty(answers('{"reasoning": "r", "probability": 0.25}')) as server:
        parts = (endpoint("e", server), labeler("a", "e"), others("e"))
        config = install(tmp_path, *parts, hypotheses=["one", "two"])
        import_suite(judged(tmp_path / "j.jsonl", NEW), "boats", config=config, family="correlation")
        dry_run = CliRunner().invoke(app, ["--config", str(config), "elicit", "--suite", "boats", "--dry-run"])
        assert dry_run.exit_code == 0, dry_run.output
        (planned,) = (line.split() for line in dry_run.output.splitlines() if line.startswith("a "))
        assert planned[2] == "12"
        assert server.requests == 0
        assert elicit.fn(config, suite="boats").counts["estimates"] == 12
        assert elicit.fn(config, suite="boats").counts["requests"] == 0
        assert elicit.fn(config).counts["estimates"] == 2
        assert server.requests == 14
        with pytest.raises(InputError, match="no suite ships; there are: boats"):
            elicit.fn(config, suite="ships")


def scored(settings: Settings, model_id: str, error: float) -> None:
    """Give an estimator scores on the items of all suites, so far from their labels."""
    with open_warehouse(settings.catalog, read_only=False) as warehouse:
        rng = np.random.default_rng(3)
        rows = []
        for item in read(warehouse, SuiteItem):
            value = float(np.clip((item.label or 0.0) + error * rng.normal(), 0, 1))
            rows.append(
                Score(
                    score_id=f"{model_id} {item.proposition_id}",
                    model_id=model_id,
                    proposition_id=item.proposition_id,
                    score=value,
                    level_probabilities=[1 - value, value],
                )
            )
        merge_all(warehouse, [rows])


def test_only_a_better_estimator_is_promoted(settings: Settings, tmp_path: Path) -> None:
    present, other = (each.model_id for each in models(config=settings))
    with pytest.raises(InputError, match="there are no suites to decide by"):
        models_promote(other, config=settings)
    many = [f"Number {n} is a boat of {n % 7} masts." for n in range(40)]
    import_suite(judged(tmp_path / "j.jsonl", many), "boats", config=settings, family="correlation")
    scored(settings, present, 0.05)
    scored(settings, other, 0.6)
    refused = models_promote(other[:8], config=settings)
    assert not refused.promoted
    assert refused.reason.startswith("worse on boats (pearson -")
    assert models(config=settings)[0].state == "in use"
    with pytest.raises(InputError, match="is in use already"):
        models_promote(present, config=settings)
    models_use(other, config=settings)
    found = CliRunner().invoke(
        app, ["--config", str(settings.home_path.parent / "odds.toml"), "models", "promote", present[:8]]
    )
    assert found.output.splitlines()[-1].startswith(f"{present} is in use: better on boats (pearson +")
    assert models(config=settings)[0].state == "in use"


def test_a_cycle_that_promotes_by_suites_replaces_only_by_a_better_one(settings: Settings, tmp_path: Path) -> None:
    used = next(each.model_id for each in models(config=settings) if each.state == "in use")
    settings = settings.model_copy(
        update={
            "evaluation": EvaluationSettings(promotion="suites"),
            "training": settings.training.model_copy(update={"seed": 2}),
        }
    )
    train.fn(settings)
    new, *_ = models(config=settings)
    assert (new.state, new.model_id == used) == ("ready", False)
    with pytest.raises(InputError, match="there are no suites to decide by"):
        list(promote_newest(settings))
    many = [f"Number {n} is a boat of {n % 7} masts." for n in range(40)]
    import_suite(judged(tmp_path / "j.jsonl", many), "boats", config=settings, family="correlation")
    scored(settings, used, 0.4)
    scored(settings, new.model_id, 0.4)
    (kept,) = [each for each in learning(settings) if each.stage == "promote"]
    assert kept.counts == {"promoted": 0}
    assert kept.note.startswith(f"{new.model_id} is not promoted: ")
    scored(settings, new.model_id, 0.01)
    (better,) = promote_newest(settings)
    assert better.counts == {"promoted": 1}
    assert better.note.startswith(f"{new.model_id} is in use: better on boats")
    assert models(config=settings)[0].state == "in use"
    assert list(promote_newest(settings)) == []


def test_structures_are_answered_from_all_their_probabilities(settings: Settings, tmp_path: Path) -> None:
    stories = [
        {
            "story": f"Number {n} goes to work.",
            "outcomes": ["They walk.", "They drive."],
            "factors": {"weather": ["It rains.", "It is dry."]},
            "answer": n % 2,
        }
        for n in range(6)
    ]
    trees = [
        {
            "premise": f"Number {n} plays.",
            "propositions": {"root": "They win.", "a": "They lose."},
            "relations": [["a", "contradicts", "root"]],
            "answer": n < 4,
        }
        for n in range(6)
    ]
    config = ["--config", str(settings.home_path.parent / "odds.toml")]
    for name, rows in (("bird", stories), ("maieutic", trees)):
        file = written(tmp_path / f"{name}.jsonl", rows)
        found = CliRunner().invoke(app, [*config, "import", "suite", str(file), "--name", name, "--format", name])
        assert "family structure" in found.output, found.output
    sure = [{"premise": row["premise"], "hypothesis": "They win.", "score": 0.4} for row in trees]
    sure += [{"premise": row["premise"], "hypothesis": "They lose.", "score": 0.1} for row in trees]
    decisions, played = evaluate_suites(
        config=settings, subjects=Subjects(files={"sure": written(tmp_path / "s.jsonl", sure)})
    )
    figures = {(each.subject, each.metric): each for each in (*decisions.figures, *played.figures)}
    assert figures["constant", "accuracy"].value is not None
    assert figures["sure", "accuracy"].value == pytest.approx(2 / 6)
    assert decisions.n_items == played.n_items == 6
    assert {each.subject: each.n for each in decisions.figures}["estimator"] == 6


def test_coherence_is_measured_on_the_test_split_and_on_suites(settings: Settings, tmp_path: Path) -> None:
    with open_warehouse(settings.catalog, read_only=False) as warehouse:
        rows = warehouse.sql(
            "SELECT p.proposition_id, p.hypothesis, m.text FROM propositions p JOIN premises m USING (premise_id) "
            "JOIN splits s USING (proposition_id) WHERE s.split = 'test' ORDER BY ALL LIMIT 4"
        ).to_pylist()
        negations = [
            Proposition(
                proposition_id=proposition_id(row["text"], f"not {row['hypothesis']}"),
                premise_id=premise_id(row["text"]),
                hypothesis=f"not {row['hypothesis']}",
                kind="negation",
                source="s",
                split="test",
                parent_id=row["proposition_id"],
            )
            for row in rows
        ]
        merge_all(warehouse, [negations])
    evaluate.fn(settings)
    with open_warehouse(settings.catalog) as warehouse:
        stored = read(warehouse, Evaluation, "suite = 'coherence' AND metric = 'negation_gap'")
        scores = {each.proposition_id: each.score for each in read(warehouse, Score)}
    gaps = [abs(scores[each.proposition_id] + scores[each.parent_id or ""] - 1) for each in negations]
    assert len(gaps) == 4
    found = {each.subject: each.value for each in stored}
    assert set(found) == {"estimator", "constant"}
    assert found["estimator"] == pytest.approx(sum(gaps) / 4)
    assert evaluate.fn(settings).counts == {"new scores": 0, "new figures": 0, "changed figures": 0}

    groups = [
        {"premise": p, "hypothesis": "It floats.", "negation": "It sinks.", "weakeners": ["It leaks."]} for p in NEW
    ]
    config = ["--config", str(settings.home_path.parent / "odds.toml")]
    command = [
        *config,
        "import",
        "suite",
        str(written(tmp_path / "g.jsonl", groups)),
        "--format",
        "coherence",
        "--name",
    ]
    taken = CliRunner().invoke(app, [*command, "coherence"]).exception
    assert str(taken) == "a suite cannot be called coherence, which stands for something else; choose another name"
    assert CliRunner().invoke(app, [*command, "related"]).exit_code == 0
    shown = CliRunner().invoke(app, [*config, "evaluate", "--suite", "related"], env={"COLUMNS": "80"}).output
    assert "related: 24 items" in shown
    assert "signed_update_rate" in shown
    assert max(map(len, shown.splitlines())) <= 80
