"""What Prefect adds to a stage: a flow with a time limit, its outcome in the log and as an artifact, and retries."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from inspect import Signature, getdoc, signature
from math import inf
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
from prefect import Flow
from prefect.artifacts import create_markdown_artifact
from prefect.flow_engine import FlowRunTimeoutError
from prefect.logging import get_run_logger
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from flows.settings.settings import CONFIG_VARIABLE, Settings
from flows.stages.outcome import Outcome, how_it_ended
from flows.stages.recording import API_URL, is_deployed
from warehouse.errors import InputError, OddsError, ServiceError

R = TypeVar("R")

ATTEMPTS = 3
SECONDS_BETWEEN_ATTEMPTS = 60.0
PREFECT_PATIENCE_S = 10.0
PARAMETERS = {
    "config": "The absolute path of the settings file on the worker's machine; by default the one in ODDS_CONFIG.",
    "max_cost": "Stop before the run costs more than this, in the currency of the prices. Empty: no limit.",
    "plan": "The file of the plan on the worker's machine.",
    "suites": "Measure on these evaluation sets, or on all. Empty: the dev split.",
    "suite": "Estimate this evaluation set instead of the pipeline's propositions.",
    "model": "The estimator: the start of its id, a folder or pretrained. Empty: the one in use.",
    "batch": "Use the endpoints' batch interface: cheaper, takes up to a day.",
    "file": "A file of propositions to score; by default the test split of the newest dataset.",
    "output": "The .jsonl, .csv or .parquet file to write.",
    "columns": "FIELD=COLUMN for each field whose column in the file has another name.",
    "reading": "The separator and the encoding of the file, where these should not be detected.",
    "with_cannot_judge": "Also count the slider where 'cannot judge' is ticked.",
    "with_rejected": "Also count rejected judgments.",
    "with_repeats": "Count all judgments of an annotator on a proposition, not only the first.",
    "full": "Recompute the whole consensus, not only what changed.",
    "grace_hours": "How many hours unneeded files stay for queries that still read them.",
    "dry_run": "Only show what would be done.",
    "fresh": "Start an interrupted fit anew instead of going on from its checkpoint.",
    "restore": "Also create the tasks again that were deleted in Label Studio.",
    "project": "The title of the only project of the settings to go through. Empty: all.",
    "new_project": "Create a new project to replace one that has vanished.",
    "new_version": "Show the newest page and instruction even where people have judged.",
    "selected": "Only push chosen propositions, and have each judged once more.",
    "by": "The rule: consensus, disagreement, panel or uncertainty.",
    "limit": "How many propositions to choose.",
    "with_test": "Also choose from the test split.",
}
"""What Prefect's page shows next to the parameters of a run."""
PREFECT_LOGGERS = ("prefect.flow_runs", "prefect.engine")
"""Those that log an error that ends a run, with its traceback."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def flow_of(
    fn: Callable[..., R], name: str, *, hours: float, asks: bool, retried: bool, settings: Settings | None = None
) -> Flow[..., R]:
    """Return the flow of a stage, whose runs fail after so many hours.

    It runs with `settings`, or else with the file in its parameter `config`. A stage that `asks` models creates its own
    artifact. On a worker, one that is `retried` runs again if a service fails.
    """

    for logger in PREFECT_LOGGERS:
        logging.getLogger(logger).addFilter(_is_news)

    def run(**given: Any) -> R:
        if settings is None:
            _check_settings_are_named(given.get("config"))
        else:
            given["config"] = settings
        try:
            done = _tried(lambda: fn(**given)) if retried and is_deployed() else fn(**given)
        except Exception as error:
            get_run_logger().error("%s: %s", name, how_it_ended(Outcome(stage=name, counts={}), error))
            if not asks:
                with suppress(Exception):  # the error of the run matters more
                    _leave(name, [Outcome(stage=name, counts={})], error)
            raise
        outcomes = [each for each in (done if isinstance(done, list) else [done]) if isinstance(each, Outcome)]
        if outcomes == [done]:
            get_run_logger().info(outcomes[0].line())
        if not asks:
            _leave(name, outcomes, None)
        return done

    run.__name__, run.__qualname__, run.__doc__ = fn.__name__, fn.__qualname__, _told(fn)
    run.__module__ = fn.__module__
    run.__signature__ = _on_prefect(fn)  # type: ignore[attr-defined]
    return Flow(run, name=name, timeout_seconds=hours * 3600)


def _is_news(record: logging.LogRecord) -> bool:
    """Return whether to log a record: an error that a stage has already told in one line needs no traceback."""
    return not (record.exc_info and isinstance(record.exc_info[1], OddsError))


def _told(fn: Callable[..., Any]) -> str:
    """Return what a stage does, and our texts of its parameters, in the form that a deployment reads them from."""
    does = re.split(r"\n(?:Args|Returns|Raises):\n", getdoc(fn) or "")[0].rstrip()
    return "\n".join([does, "", "Args:", *(f"    {each}: {PARAMETERS[each]}" for each in signature(fn).parameters)])


def _on_prefect(fn: Callable[..., Any]) -> Signature:
    """Return the signature of a stage as a deployment has it: its settings are always a file."""
    whole = signature(fn, eval_str=True)
    config = whole.parameters["config"].replace(annotation=Path | None)
    return whole.replace(parameters=[config if each.name == "config" else each for each in whole.parameters.values()])


def _check_settings_are_named(config: Any) -> None:
    """Raise `InputError` if a worker would use the settings of whatever folder it runs in."""
    if is_deployed() and not Path(str(config or os.environ.get(CONFIG_VARIABLE, ""))).is_absolute():
        raise InputError(
            f"no settings file: set {CONFIG_VARIABLE} where the worker starts, or the parameter config of the run, to "
            "the absolute path of odds.toml"
        )


def _tried(run: Callable[[], R]) -> R:
    """Run a stage, and run it again if a service fails, as a person at a terminal would."""

    def tell(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        get_run_logger().warning("%s; trying again in %.0f s", error, SECONDS_BETWEEN_ATTEMPTS)

    return Retrying(
        retry=retry_if_exception_type(ServiceError),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_fixed(SECONDS_BETWEEN_ATTEMPTS),
        before_sleep=tell,
        reraise=True,
    )(run)


def _leave(name: str, outcomes: list[Outcome], error: BaseException | None) -> None:
    said = how_it_ended(outcomes[0], error) if len(outcomes) == 1 else "done"
    lines = [f"- {outcome.line()}" for outcome in outcomes if outcome.counts]
    text = "\n".join([f"## {name}: {said}", "", *lines]).replace("|", "&#124;") + "\n"
    create_markdown_artifact(key=f"odds-{name}", markdown=text, description=said)


@contextmanager
def reached() -> Iterator[None]:
    """Raise `ServiceError` if the Prefect server cannot be reached during the block."""
    address = os.environ.get(API_URL, "")
    _past_the_proxy()
    _check_it_answers(address)
    try:
        yield
    except (httpx.HTTPError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "Failed to reach API" not in str(error):
            raise
        raise _broken_off(
            f"The Prefect server at {_shown(address)} no longer answers ({_reason(error)}): finished work is kept; "
            "check the server, then run the command again"
        ) from error


@contextmanager
def in_time(name: str, hours: float) -> Iterator[None]:
    """Raise `ServiceError` if Prefect ends the flow of a stage because its hours are over."""
    began = time.monotonic()
    try:
        yield
    except FlowRunTimeoutError as error:
        if time.monotonic() - began < hours * 3600:
            raise  # the time of the flow around it is over
        raise _broken_off(
            f"{name} took longer than {hours:g} hours; finished work is kept; run it again to continue"
        ) from error


def _broken_off(said: str) -> ServiceError:
    """Return the error of a stage that was broken off, so that nobody knows what it had spent."""
    error = ServiceError(said)
    error.spent = inf
    return error


def _past_the_proxy() -> None:
    """Exclude loopback from proxies."""
    for name in ("NO_PROXY", "no_proxy"):
        listed = [each.strip() for each in os.environ.get(name, "").split(",") if each.strip()]
        if "*" not in listed:
            os.environ[name] = ",".join([*listed, *(each for each in LOOPBACK if each not in listed)])


def _check_it_answers(address: str) -> None:
    """Raise `ServiceError` if the Prefect server does not answer."""
    if not address:
        return
    try:
        answer = httpx.get(f"{address.rstrip('/')}/health", timeout=PREFECT_PATIENCE_S)
        if answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR and answer.status_code != httpx.codes.NOT_FOUND:
            return
        reason = f"HTTP status {answer.status_code}"
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:  # a proxy of an unknown kind is a ValueError
        reason = _reason(error)
    raise ServiceError(
        f"The Prefect server at {_shown(address)} does not answer ({reason}): start it (prefect server start), correct "
        f"{API_URL}, or unset it to run without Prefect"
    )


def _reason(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _shown(address: str) -> str:
    """Return the address without user, password and query."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
