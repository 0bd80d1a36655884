"""An estimator in the panel: its estimates stand beside those of the LLMs, and no estimator learns from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.elicit import elicit, jobs
from flows.publish import publish
from flows.recalibrate import recalibrate
from flows.research.labelers import labelers
from flows.score import score
from flows.settings.settings import load_settings
from tests.fixtures.commands import Run, ended_well
from tests.fixtures.llm_runs import rows, settings_file, value
from tests.fixtures.store import made_rows
from training.embedded import pretrained_path
from training.evaluation.subjects import PANEL, panel
from warehouse import open_warehouse
from warehouse.agreement.measure import measure_agreement
from warehouse.catalog.store import merge, merge_all
from warehouse.consensus.calibration import calibration_pairs
from warehouse.consensus.renew import renew_consensus
from warehouse.errors import InputError
from warehouse.queries.stages import current_estimates
from warehouse.records import Estimate

OWN = '[[labelers]]\nname = "ours"\nmethod = "estimator"\nmodel = "{}"\n'
PROPOSITIONS = ("a", "b", "c")


def installed(folder: Path, model: str, more: str = "") -> Path:
    """Three propositions, none judged, and a panel of one estimator."""
    config = settings_file(folder, more, OWN.format(model))
    with open_warehouse(load_settings(config).catalog, read_only=False) as warehouse:
        merge_all(warehouse, made_rows([(name, "someone", 0.5) for name in PROPOSITIONS])[:2])
    return config


def with_an_llm(config: Path, probability: float) -> None:
    """The estimates of an LLM, such as imported ones."""
    with open_warehouse(load_settings(config).catalog, read_only=False) as warehouse:
        ids = warehouse.sql("SELECT proposition_id FROM propositions")["proposition_id"].to_pylist()
        merge(
            warehouse,
            [
                Estimate(
                    estimate_id=f"llm {each}",
                    proposition_id=each,
                    labeler="llm",
                    labeler_version="1",
                    method="token",
                    probability=probability,
                )
                for each in ids
            ],
        )


@pytest.fixture(scope="module")
def elicited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation whose pretrained estimator has estimated, beside an LLM that says 0.25."""
    config = installed(tmp_path_factory.mktemp("own"), "pretrained")
    assert elicit(config).counts == {"scored": 3}
    assert elicit(config).counts == {"scored": 0}
    with_an_llm(config, 0.25)
    return config


@pytest.mark.slow
def test_its_estimates_are_its_scores(elicited: Path, tmp_path: Path) -> None:
    asked = rows(elicited, "SELECT premise, hypothesis FROM proposition_overview")
    file, scores = tmp_path / "asked.jsonl", tmp_path / "scores.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in asked))
    score(elicited, file, scores, "pretrained")
    given = rows(
        elicited, "SELECT proposition_id, probability, method, request_id FROM estimates WHERE labeler = 'ours'"
    )
    expected = {row["proposition_id"]: row["score"] for row in map(json.loads, scores.read_text().splitlines())}
    assert {row["proposition_id"]: row["probability"] for row in given} == pytest.approx(expected, abs=1e-5)
    assert {(row["method"], row["request_id"]) for row in given} == {("estimator", None)}
    assert value(elicited, "SELECT count(*) FROM requests") == 0


def test_it_stands_among_the_labelers_and_costs_nothing(elicited: Path) -> None:
    (row,) = (each for each in labelers(config=elicited) if each["labeler"] == "ours")
    assert (row["n_estimates"], row["n_requests"], row["cost"], row["cost_per_estimate"]) == (3, 0, 0, 0)
    assert row["in_panel"]
    own, both = rows(
        elicited,
        "SELECT any_value(e.probability) AS x, any_value(o.estimate_mean) AS mean FROM estimates e "
        "JOIN proposition_overview o USING (proposition_id) WHERE labeler = 'ours' GROUP BY proposition_id LIMIT 1",
    )[0].values()
    assert both == pytest.approx((own + 0.25) / 2)


def test_no_estimator_learns_from_it(elicited: Path) -> None:
    assert rows(elicited, "SELECT DISTINCT labelers, mean FROM panel_distribution") == [
        {"labelers": ["llm"], "mean": 0.25}
    ]
    settings = load_settings(elicited)
    with open_warehouse(settings.catalog) as warehouse:
        ids = warehouse.sql("SELECT proposition_id FROM propositions")["proposition_id"].to_pylist()
        estimates = current_estimates(warehouse, ids)
    assert dict(panel(estimates)).keys() == {"labeler:llm", "labeler:ours"}
    another = [each.model_copy(update={"labeler": "other"}) for each in estimates if each.labeler == "llm"]
    assert {answer.score for answer in dict(panel([*estimates, *another]))[PANEL].values()} == {0.25}


def test_its_map_is_fitted_on_dev_and_it_is_measured_on_test_only(tmp_path: Path) -> None:
    config = settings_file(tmp_path, OWN.format("pretrained"))
    names = [f"proposition {n}" for n in range(60)]
    with open_warehouse(load_settings(config).catalog, read_only=False) as warehouse:
        merge_all(warehouse, made_rows([(name, "someone", 0.5) for name in names]))
        ids = warehouse.sql("SELECT proposition_id FROM propositions")["proposition_id"].to_pylist()
        shared = {"labeler_version": "1", "probability": 0.5}
        for name, method in (("ours", "estimator"), ("llm", "token")):
            estimates = [
                Estimate(estimate_id=f"{name} {each}", proposition_id=each, labeler=name, method=method, **shared)  # type: ignore[arg-type]
                for each in ids
            ]
            merge(warehouse, estimates)
        pairs = calibration_pairs(warehouse).to_pylist()
        held_out = warehouse.sql("SELECT count(*) AS n FROM splits WHERE split = 'test'")["n"][0].as_py()
        judged = warehouse.sql("SELECT labeler, n_judged FROM labeler_quality ORDER BY labeler").to_pylist()
        beside = {
            each.scope: each.n_propositions
            for each in measure_agreement(warehouse, draws=0)
            if each.scope.startswith("labeler")
        }
    assert judged == [{"labeler": "llm", "n_judged": 60}, {"labeler": "ours", "n_judged": held_out}]
    assert {name.split(",")[0]: n for name, n in beside.items()} == {"labeler llm": 60, "labeler ours": held_out}
    assert {row["split"] for row in pairs if row["labeler"] == "llm"} == {"train", "dev"}
    assert {row["split"] for row in pairs if row["labeler"] == "ours"} == {"dev"}
    assert "ours" in recalibrate(config).note


def test_publishing_says_if_the_consensus_counts_it(tmp_path: Path) -> None:
    config = installed(tmp_path, "pretrained", "[agreement]\nlabeler_weights = {ours = 0.5}\n")
    with open_warehouse(load_settings(config).catalog, read_only=False) as warehouse:
        merge_all(warehouse, made_rows([(f"p{n}", "someone", n / 60) for n in range(60)]))
        renew_consensus(warehouse, "em")
    assert "the consensus counts the estimates of ours" in publish(config).note


def test_before_the_first_fit_the_one_in_use_gives_no_estimates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = installed(tmp_path, "production")
    assert elicit(config).counts == {"requests": 0}
    assert "labeler ours: no estimator is trained yet" in capsys.readouterr().err
    with open_warehouse(load_settings(config).catalog) as warehouse:
        assert jobs(load_settings(config), warehouse) == []  # a dry run plans nothing


@pytest.mark.slow
def test_the_command_loads_it_in_a_run_of_its_own(tmp_path: Path, odds: Run) -> None:
    said = ended_well(odds("--config", str(installed(tmp_path, "pretrained")), "elicit"))
    assert said.splitlines()[-1] == "elicit: 3 scored"


def test_a_dry_run_plans_no_request_for_it(elicited: Path, odds: Run) -> None:
    assert "requests" in ended_well(odds("--config", str(elicited), "elicit", "--dry-run"))


def test_a_folder_and_its_name_are_the_same_estimator(elicited: Path) -> None:
    config = elicited.with_name("folder.toml")
    config.write_text(OWN.format(pretrained_path()))
    assert elicit(config).counts == {"scored": 0}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('prompt = "token"', r"labelers\.0\.prompt is not a setting"),
        ("model = 3", r"labelers\.0\.model: Input should be a valid string"),
    ],
)
def test_what_an_estimator_does_not_have_is_refused(tmp_path: Path, more: str, said: str) -> None:
    config = settings_file(tmp_path, f'[[labelers]]\nname = "ours"\nmethod = "estimator"\n{more}\n')
    with pytest.raises(InputError, match=said):
        load_settings(config)


def test_an_estimator_that_is_unknown_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no estimator 'nowhere'"):
        elicit(installed(tmp_path, "nowhere"))
