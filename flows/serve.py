"""Serve: an HTTP server that scores the propositions it is sent."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from flows.estimators.named import ELSEWHERE, estimator_for
from flows.settings.settings import Config, load_settings
from flows.stages.services import load_estimator
from flows.terminal.activity import activity
from flows.terminal.console import note
from warehouse.errors import InputError
from warehouse.records import PropositionText

if TYPE_CHECKING:
    from flows.serving.worker import Answer, Pair
    from training import Estimator

HOST = "127.0.0.1"
PORT = 8710
TOKEN_VARIABLE = "ODDS_SERVE_TOKEN"  # noqa: S105 - the name of a variable, not a token
WARM_UP = ("It rains.", "The street is wet.")


def serve(
    model: str | None = None,
    *,
    host: str = HOST,
    port: int = PORT,
    ready: Callable[[str, str], object] | None = None,
    config: Config = None,
) -> None:
    """Answer POST /score with the scores of an estimator, until Ctrl-C or SIGTERM.

    Args:
        model: The id of an estimator or its start, "pretrained" or a folder; by default the one in use,
            or the pretrained one if none was trained.
        host: The address to listen on. One that other machines reach needs a token in `ODDS_SERVE_TOKEN`, which
            clients then send.
        port: The port; 0 lets the system choose one.
        ready: Called with the name of the estimator, for one of the warehouse its id, and the server's address once it
            answers.
        config: The settings, or the file to read them from.

    Raises:
        InputError: there is no such estimator, the address cannot be used, or it needs a token.
        KeyboardInterrupt: Ctrl-C or SIGTERM arrived; requests were given a second to end.
    """
    # imported here, so that flows.api loads fast
    from flows.serving.app import application
    from flows.serving.server import address_of, bound, run
    from flows.serving.worker import Worker

    settings = load_settings(config)
    token = _token(host)
    with bound("serve", host, port) as listener:
        used = estimator_for(settings, model)
        estimator = cache(lambda: load_estimator(settings, used, "serve"))
        # It loads in the thread that scores: torch has threads for each thread that calls it, and with those of two it
        # scores at less than half the speed.
        worker = Worker(lambda pairs: answers_of(estimator(), pairs))
        with activity("serve") as shown:
            shown.doing("loading the estimator")
            worker.submit([WARM_UP]).result()
        address = address_of(host, listener)
        about = {"model": used.model_id}
        if (calibration := estimator().calibration) is not None:
            about["intervals"] = calibration.told
        app = application(worker, about, token, lambda line: note(f"serve: {line}"))
        name = used.name if used.dataset_id == ELSEWHERE else used.model_id
        run(app, listener, lambda: ready and ready(name, address))


def _token(host: str) -> str | None:
    """Return the token that clients must send. Raises `InputError` if others can reach the host and there is none."""
    token = os.environ.get(TOKEN_VARIABLE, "").strip() or None
    from flows.serving.server import is_loopback

    if token is None and not is_loopback(host):
        raise InputError(
            f"odds serve: other machines can reach {host}, so clients need a token: set {TOKEN_VARIABLE}, "
            f"or use --host {HOST}"
        )
    return token


def answers_of(estimator: Estimator, pairs: Sequence[Pair]) -> list[Answer]:
    """Return what a file of scores has for each pair, or nulls with the reason why it has none."""
    texts = [
        PropositionText(proposition_id=str(row), premise=premise, hypothesis=hypothesis)
        for row, (premise, hypothesis) in enumerate(pairs)
    ]
    answers: list[Answer] = [{} for _ in pairs]
    for batch in estimator.score_stream(texts):
        found = {"score": batch.scores, "raw_score": batch.raw_scores, "sd": batch.sd, **batch.quantiles}
        found |= {"low": batch.low, "high": batch.high, "level_probabilities": batch.level_probabilities}
        lists = {name: [None] * len(batch.scores) if each is None else each.tolist() for name, each in found.items()}
        lists["premise_cut"] = batch.truncated.tolist()
        for place, row in enumerate(batch.proposition_ids):
            answers[int(row)] = {name: values[place] for name, values in lists.items()}
        for drop in batch.drops:
            answers[int(drop.subject_id)] = dict.fromkeys(lists) | {"reason": f"{drop.reason}: {drop.detail}"}
    return answers
