"""What a dry run says, beside what the run then does; no model answers here."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from flows.elicit import elicit, jobs
from flows.judge import judge
from flows.llm_runs.dry_run import plan_table
from flows.propose import jobs as propose_jobs
from flows.propose import propose
from flows.settings.settings import load_settings
from tests.fixtures.llm_runs import PRICED, endpoint, install, labeler, others, settings_file
from tests.synthesis.batch_stub import batch_stub, interrupt_once
from tests.synthesis.faulty_endpoint import answers, faulty
from warehouse.errors import InputError

NOBODY = "http://127.0.0.1:9/v1"
HYPOTHESES = [f"The hypothesis is number {number} of them." for number in range(8)]
NAMES = ("requests", "tokens out", "cost", "at most if sent once")


def shown(config: Path, *, batch: bool = False, width: int = 80) -> str:
    console = Console(width=width, record=True, file=(config.parent / "shown.txt").open("w"))
    console.print(plan_table(load_settings(config), jobs, batch=batch))
    return console.export_text()


def planned(config: Path, name: str, *, batch: bool = False) -> dict[str, str]:
    """The cells of a row, by the heading."""
    table, _ = plan_table(load_settings(config), jobs, batch=batch).renderables
    columns = {" ".join(str(column.header).split()): list(map(str, column.cells)) for column in table.columns}  # type: ignore[union-attr]
    row = columns["asked"].index(name)
    return {heading: cells[row] for heading, cells in columns.items()}


def test_a_proposer_without_its_endpoint_is_refused_only_when_it_is_asked(tmp_path: Path) -> None:
    config = install(tmp_path, endpoint("e", NOBODY, PRICED), labeler("a", "e"), hypotheses=HYPOTHESES[:2])
    assert planned(config, "a")["requests"] == "2"
    assert judge.fn(config).counts == {"requests": 0}  # the panel does not disagree
    for run in (propose.fn, lambda config: propose.fn(config, max_cost=1.0)):
        with pytest.raises(InputError, match=r"smol-proposer asks the endpoint embedded, .* under \[proposer\]"):
            run(config)
    with pytest.raises(InputError, match=r"smol-proposer asks the endpoint embedded"):
        plan_table(load_settings(config), propose_jobs, batch=False)


@pytest.mark.slow
def test_what_nothing_bounds_is_not_said_to_be_bounded(tmp_path: Path) -> None:
    loose = labeler("loose", "e", more='omit = ["max_tokens"]')
    bound = labeler("bound", "e", more='omit = ["max_tokens"]\nextra = {max_completion_tokens = 50}')
    config = install(tmp_path, endpoint("e", NOBODY, PRICED), loose, bound, others("e"), hypotheses=HYPOTHESES)
    for name in ("loose", "all"):
        cells = planned(config, name)
        assert [cells[heading] for heading in NAMES[1:]] == ["unknown", "unknown", "no bound"]
    assert planned(config, "bound")["tokens out"] == "400"
    assert "neither max_tokens nor max_completion_tokens is sent" in " ".join(shown(config).split())
    free = "price_in = 0.0\nprice_out = 0.0"
    settings_file(tmp_path, endpoint("e", NOBODY, free), loose, others("e"))
    assert [planned(config, "loose")[heading] for heading in NAMES] == ["8", "unknown", "0", "0"]
    settings_file(tmp_path, endpoint("e", NOBODY), bound, others("e"))
    assert [planned(config, "bound")[heading] for heading in NAMES] == ["8", "400", "no price", "no price"]


def test_past_requests_count_for_the_same_asker_model_and_prompt_alone(tmp_path: Path) -> None:
    short = labeler("short", "e")
    reasoner = labeler("reasoner", "e", more="seed = 7").replace("max_tokens = 20", "max_tokens = 4000")
    with faulty(answers('{"reasoning": "r", "probability": 0.25}')) as server:
        config = install(tmp_path, endpoint("e", server, PRICED), short, others("e"), hypotheses=HYPOTHESES[:4])
        elicit.fn(config)
        install(tmp_path, endpoint("e", server, PRICED), short, reasoner, others("e"), hypotheses=HYPOTHESES)
        assert [planned(config, "short")[heading] for heading in ("tokens in", "tokens out")] == ["40", "20"]
        assert planned(config, "reasoner")["tokens out"] == "32,000"
        other_model = short.replace('model = "m"', 'model = "n"')
        settings_file(tmp_path, endpoint("e", server, PRICED), other_model, others("e"))
        assert planned(config, "short")["tokens out"] == "160"
        # A bound that is lower than the replies were is what they can have now.
        settings_file(tmp_path, endpoint("e", server, PRICED), short.replace("= 20", "= 3"), others("e"))
        assert planned(config, "short")["tokens out"] == "24"


def test_what_batches_hold_is_not_planned_again(tmp_path: Path) -> None:
    with batch_stub(lambda _: (200, {}), polls=10**6) as stub:
        parts = (endpoint("e", stub.url, PRICED), labeler("a", "e"), others("e"))
        config = install(tmp_path, *parts, hypotheses=HYPOTHESES[:6])
        assert "in batches" not in shown(config, width=120)
        stub.on_event = interrupt_once(stub)
        with pytest.raises(KeyboardInterrupt):
            elicit.fn(config, batch=True)
        install(tmp_path, *parts, hypotheses=HYPOTHESES)
        for batch in (True, False):
            cells = planned(config, "a", batch=batch)
            assert (cells["in batches"], cells["requests"]) == ("6", "2")
    assert "a run with --batch collects them" in " ".join(shown(config).split())


def test_names_are_whole_in_eighty_columns(tmp_path: Path) -> None:
    names = ["first-verbalised-of-a-large-panel-of-labelers", "second", "[bold]third[/bold]"]
    panel = [labeler(name, "e").replace("max_tokens = 20", "max_tokens = 4000000") for name in names]
    dear = "price_in = 1000.0\nprice_out = 1000.0"
    config = install(tmp_path, endpoint("e", NOBODY, dear), *panel, others("e"), hypotheses=HYPOTHESES)
    text = shown(config)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    head = [line.partition(" ")[0] for line in text.splitlines()]
    assert all(name in "".join(head) for name in names)
    assert "32 M" in text
    assert "32,00" in text
    assert "up to two more tries" in " ".join(text.split())
