"""Runs with and without the batch interface that follow one another; the endpoint is a stub, and no model answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.elicit import elicit
from tests.fixtures.llm_runs import PRICED, endpoint, install, labeler, others, value
from tests.synthesis.batch_stub import batch_stub
from tests.synthesis.test_batch import drawn
from warehouse.errors import OddsError

HYPOTHESES = [f"The hypothesis is number {number} of them." for number in range(8)]


@pytest.mark.parametrize("status", [400, 403, 404])
def test_what_a_refused_batch_held_is_asked_by_the_next_run_without_batches(tmp_path: Path, status: int) -> None:
    with batch_stub(drawn) as stub:
        panel = (endpoint("e", stub.url, PRICED), labeler("a", "e"), others("e"))
        config = install(tmp_path, *panel, hypotheses=HYPOTHESES)
        stub.statuses = [200, status]
        with pytest.raises(OddsError):
            elicit.fn(config, batch=True)
        elicit.fn(config)
    assert value(config, "SELECT count(DISTINCT proposition_id) FROM estimates") == 8
