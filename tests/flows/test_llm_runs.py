"""The flows that ask models, against real servers that misbehave; no model answers here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.elicit import elicit
from flows.llm_runs import writer
from flows.stages.outcome import Outcome
from flows.terminal.console import money
from synthesis.llm.skip_list import HOPELESS
from tests.fixtures.commands import Run
from tests.fixtures.llm_runs import COST, PRICED, endpoint, install, labeler, others, rows, settings_file, value
from tests.synthesis.batch_stub import batch_stub, interrupt_once
from tests.synthesis.faulty_endpoint import answers, by_model, fails, faulty
from warehouse.errors import InputError, ServiceError

GOOD = answers('{"reasoning": "r", "probability": 0.25}')
HYPOTHESES = [f"The hypothesis is number {number} of them." for number in range(8)]
STATUSES = "SELECT status, count(*) AS n FROM requests GROUP BY status"


def adds_up(outcome: Outcome, config: Path) -> None:
    """Whether the line, the requests and the view of costs tell the same."""
    counts = outcome.counts
    assert counts["requests"] == counts["answered"] + counts["refused"] + counts["failed"]
    table = {row["status"]: row["n"] for row in rows(config, STATUSES)}
    (sums,) = rows(
        config,
        "SELECT sum(n_requests)::INT AS requests, sum(n_answered)::INT AS answered, "
        "sum(n_refused)::INT AS refused, sum(n_failed)::INT AS failed FROM labeler_cost",
    )
    for status in ("answered", "refused", "failed"):
        assert counts[status] == table.get(status, 0) == sums[status]
    assert counts["requests"] == sums["requests"]


@pytest.mark.parametrize("bad", ["key", "dead"])
def test_an_endpoint_that_fails_holds_nobody_else_up(
    tmp_path: Path, bad: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with faulty(GOOD) as good, faulty(fails(401)) as refusing:
        address = refusing.url if bad == "key" else "http://127.0.0.1:9/v1"
        panel = (labeler("a", "good"), labeler("b", "bad"), others("good"))
        config = install(tmp_path, endpoint("good", good), endpoint("bad", address), *panel, hypotheses=HYPOTHESES)
        with pytest.raises(ServiceError, match=r"^endpoint bad at") as raised:
            elicit.fn(config)
        assert capsys.readouterr().out == (
            "elicit: 8 requests, 8 answered, 0 refused, 0 failed, 0 from the ledger, 8 estimates, 0 estimates refused\n"
        )
        assert "\n" not in str(raised.value)
        assert raised.value.exit_status == 1
        assert value(config, "SELECT count(*) FROM estimates WHERE labeler = 'a' AND probability = 0.25") == 8
        assert value(config, "SELECT count(*) FROM estimates WHERE labeler = 'b'") == 0
        with faulty(GOOD) as healed:
            settings_file(tmp_path, endpoint("good", good), endpoint("bad", healed), *panel)
            outcome = elicit.fn(config)
            assert healed.requests == 8
        assert good.requests == 8, "what is there is not asked for again"
        assert (outcome.counts["requests"], outcome.counts["estimates"]) == (8, 8)


def test_two_endpoints_that_fail_are_both_named(tmp_path: Path) -> None:
    with faulty(fails(401)) as one, faulty(fails(404)) as two:
        places = (endpoint("one", one), endpoint("two", two))
        config = install(tmp_path, *places, labeler("a", "one"), labeler("b", "two"), others("one"), hypotheses=["H."])
        with pytest.raises(ServiceError) as raised:
            elicit.fn(config)
    assert "endpoint one" in str(raised.value)
    assert "endpoint two" in str(raised.value)


def test_an_unknown_model_holds_no_other_labeler_of_its_endpoint_up(tmp_path: Path) -> None:
    with faulty(by_model({"wrong": fails(404), "m": GOOD})) as server:
        panel = (labeler("a", "e").replace('"m"', '"wrong"'), labeler("b", "e"), others("e"))
        config = install(tmp_path, endpoint("e", server), *panel, hypotheses=HYPOTHESES)
        with pytest.raises(ServiceError) as raised:
            elicit.fn(config)
    where = f"endpoint e at {server.url}"
    assert str(raised.value) == f"{where} does not know the model wrong (HTTP 404); check model and base_url"
    assert value(config, "SELECT count(*) FROM estimates WHERE labeler = 'b'") == 8


def test_a_labeler_that_is_only_rejected_is_left_out_with_a_line(tmp_path: Path) -> None:
    many = [f"The hypothesis is number {number} of many." for number in range(60)]
    with faulty(by_model({"strict": fails(400, "max_tokens is too large"), "m": GOOD})) as server:
        panel = (labeler("a", "e").replace('"m"', '"strict"'), labeler("b", "e"), others("e"))
        config = install(tmp_path, endpoint("e", server), *panel, hypotheses=many)
        with pytest.raises(ServiceError, match=r"rejects every request of a .*max_tokens is too large") as raised:
            elicit.fn(config)
    assert "\n" not in str(raised.value)
    assert value(config, "SELECT count(*) FROM estimates WHERE labeler = 'b'") == len(many)
    failed = value(config, "SELECT count(*) FROM requests WHERE status = 'failed' AND labeler = 'a'")
    # Those that were on the way when it was enough have their rows, too.
    assert HOPELESS <= failed <= HOPELESS + 4


def test_what_was_paid_for_questions_that_are_not_done_is_told_and_written_by_the_next_run(tmp_path: Path) -> None:
    """A labeler that writes no number is asked three times, and the limit comes in between."""
    with faulty(answers("I cannot say.")) as server:
        config = install(tmp_path, endpoint("e", server, PRICED), labeler("a", "e"), others("e"), hypotheses=HYPOTHESES)
        limit = 0.0014
        outcome = elicit.fn(config, max_cost=limit)
        sent = server.requests
        assert outcome.stopped == f"the next request could exceed the limit of {limit}"
        assert outcome.cost == pytest.approx(sent * COST)
        assert outcome.cost <= limit
        written = outcome.counts["requests"]
        assert written < sent
        left = money((sent - written) * COST)
        assert (
            outcome.note
            == f"{left} of the cost is for {sent - written} replies that the next run takes from the ledger"
        )
        assert elicit.fn(config).counts["from the ledger"] == sent - written
    assert value(config, "SELECT sum(cost) FROM labeler_cost") == pytest.approx(server.requests * COST)


def test_the_limit_of_cost_holds_where_replies_come_without_a_count_of_tokens(tmp_path: Path) -> None:
    reply = '{"reasoning": "r", "probability": 0.25}'
    with faulty(answers(reply, usage=None)) as server:
        config = install(tmp_path, endpoint("e", server, PRICED), labeler("a", "e"), others("e"), hypotheses=HYPOTHESES)
        outcome = elicit.fn(config, max_cost=0.0015)
        assert outcome.stopped
        assert 1 <= server.requests < 8
        assert outcome.cost == 0.0
        assert 0.0 < outcome.unsure <= 0.0015
        assert f"at most {money(outcome.unsure)} more may have been billed" in outcome.line()
        assert f"{server.requests} replies came without a token count" in outcome.line()


def test_a_key_that_an_endpoint_repeats_stands_in_no_log(tmp_path: Path, odds: Run) -> None:
    key = "sk-secret-of-a-test"
    with faulty(fails(404, f"who is {key}")) as server:
        place = endpoint("e", server, 'api_key_env = "TEST_KEY"')
        install(tmp_path, place, labeler("a", "e"), others("e"), hypotheses=HYPOTHESES)
        done = odds("--verbose", "elicit", env={"TEST_KEY": key})
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "does not know the model m" in done.stderr
    assert key not in done.stdout + done.stderr


def test_the_outcome_the_requests_and_the_view_of_costs_agree(tmp_path: Path) -> None:
    def play(handler: object) -> None:
        text = handler.body["messages"][-1]["content"]  # type: ignore[attr-defined]
        fault = GOOD
        if "number 1" in text:
            fault = fails(400)
        if "number 2" in text:
            fault = answers("I cannot say.")
        fault(handler)  # type: ignore[arg-type]

    with faulty(play) as server:
        config = install(tmp_path, endpoint("e", server, PRICED), labeler("a", "e"), others("e"), hypotheses=HYPOTHESES)
        outcome = elicit.fn(config)
    # Six are answered, one is asked for three times, and one is refused by the server.
    expected = {"requests": 10, "answered": 6, "refused": 3, "failed": 1, "from the ledger": 0}
    assert outcome.counts == expected | {"estimates": 6, "estimates refused": 1}
    assert outcome.cost == pytest.approx(9 * COST)
    adds_up(outcome, config)
    assert value(config, "SELECT sum(cost) FROM labeler_cost") == pytest.approx(9 * COST)
    # A rejected request is sent with a response format and once without.
    assert server.requests == 11


def test_the_same_question_from_two_labelers_is_sent_once(tmp_path: Path) -> None:
    with faulty(GOOD) as server:
        config = install(
            tmp_path, endpoint("e", server, PRICED), labeler("a", "e"), labeler("twin", "e"), others("e"),
            hypotheses=HYPOTHESES,
        )  # fmt: skip
        outcome = elicit.fn(config)
    assert server.requests == 8
    assert (outcome.counts["requests"], outcome.counts["from the ledger"]) == (16, 8)
    assert outcome.cost == pytest.approx(8 * COST)
    assert value(config, "SELECT sum(cost) FROM labeler_cost") == pytest.approx(8 * COST)
    adds_up(outcome, config)


def test_a_limit_of_cost_needs_prices(tmp_path: Path) -> None:
    with faulty(GOOD) as server:
        config = install(tmp_path, endpoint("e", server), labeler("a", "e"), others("e"), hypotheses=HYPOTHESES)
        snapshot = value(config, "SELECT max(snapshot_id) FROM odds.snapshots()")
        with pytest.raises(InputError, match="--max-cost: a has no price_in") as raised:
            elicit.fn(config, max_cost=1.0)
        assert raised.value.exit_status == 2
        assert server.requests == 0
        assert value(config, "SELECT max(snapshot_id) FROM odds.snapshots()") == snapshot
        assert not list(tmp_path.rglob("ledger*"))


@pytest.mark.parametrize("limit", [float("nan"), float("inf"), -1.0])
def test_a_limit_that_is_no_amount_is_refused(tmp_path: Path, limit: float) -> None:
    with faulty(GOOD) as server:
        config = install(tmp_path, endpoint("e", server, PRICED), labeler("a", "e"), others("e"), hypotheses=HYPOTHESES)
        with pytest.raises(InputError, match="must be a non-negative number"):
            elicit.fn(config, max_cost=limit)
        assert server.requests == 0


def test_a_reply_that_was_paid_for_but_not_written_keeps_its_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a kill between the ledger and the warehouse leaves behind."""
    with faulty(GOOD) as server:
        config = install(tmp_path, endpoint("e", server, PRICED), labeler("a", "e"), others("e"), hypotheses=HYPOTHESES)
        with monkeypatch.context() as broken:
            broken.setattr(writer, "merge_all", _dies)
            with pytest.raises(SystemExit):
                elicit.fn(config)
        assert value(config, "SELECT count(*) FROM requests") == 0
        outcome = elicit.fn(config)
        assert server.requests == 8
    assert outcome.counts["from the ledger"] == 8
    assert outcome.cost == 0
    assert value(config, "SELECT sum(cost) FROM labeler_cost") == pytest.approx(8 * COST)
    assert value(config, "SELECT count(*) FROM estimates") == 8


def _dies(*_: object) -> None:
    raise SystemExit(9)


def test_pairs_are_compared(tmp_path: Path) -> None:
    def play(handler: object) -> None:
        text = handler.body["messages"][-1]["content"]  # type: ignore[attr-defined]
        wet_first = text.index("street") < text.index("parade")
        answers(json.dumps({"reasoning": "r", "more_likely": 1 if wet_first else 2}))(handler)  # type: ignore[arg-type]

    hypotheses = ["The street is wet.", "There is a parade."]
    with faulty(play) as server:
        pairs = labeler("w", "e", "pairwise", "compare")
        config = install(tmp_path, endpoint("e", server), pairs, others("e"), hypotheses=hypotheses)
        outcome = elicit.fn(config)
        assert elicit.fn(config).counts == {"requests": 0}
    assert server.requests == 2
    assert (outcome.counts["comparisons"], outcome.counts["comparisons refused"]) == (1, 0)
    found = rows(config, "SELECT hypothesis FROM comparisons JOIN propositions ON proposition_id = more_likely_id")
    assert found == [{"hypothesis": "The street is wet."}]


def test_a_run_by_the_batch_interface_costs_its_share_and_shows_how_far_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.terminal.progress.SECONDS_BETWEEN_LINES", 0.0)
    reply = {
        "choices": [{"index": 0, "message": {"content": '{"probability": 0.25}'}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5},
    }
    with batch_stub(lambda _: (200, reply)) as stub:
        place = endpoint("e", stub.url, PRICED + "\nbatch_price = 0.25")
        config = install(tmp_path, place, labeler("a", "e"), others("e"), hypotheses=HYPOTHESES)
        outcome = elicit.fn(config, batch=True)
        assert elicit.fn(config, batch=True).counts == {"requests": 0}
    assert (outcome.counts["answered"], outcome.counts["estimates"]) == (8, 8)
    assert outcome.cost == pytest.approx(8 * COST / 4)
    assert value(config, "SELECT sum(cost) FROM labeler_cost") == pytest.approx(8 * COST / 4)
    adds_up(outcome, config)
    assert max(stub.asked.values()) == 1
    assert "8 of 8 back from batches" in capsys.readouterr().err


def test_what_a_batch_holds_is_left_out_of_other_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = (labeler("a", "e"), others("e"))
    with faulty(GOOD) as server, batch_stub(lambda _: (200, {}), polls=10**6) as stub:
        config = install(tmp_path, endpoint("e", stub.url), *parts, hypotheses=HYPOTHESES[:6])
        stub.on_event = interrupt_once(stub)
        with pytest.raises(KeyboardInterrupt):
            elicit.fn(config, batch=True)
        # Two more come, and the endpoint answers single requests again.
        install(tmp_path, endpoint("e", server), *parts, hypotheses=HYPOTHESES)
        outcome = elicit.fn(config)
        assert outcome.counts["requests"] == outcome.counts["estimates"] == server.requests == 2
        assert "its requests are left out now, --batch collects them" in capsys.readouterr().err
    adds_up(outcome, config)
