"""Asking: questions over several endpoints at once, what they come to written as it comes, with options and a plan.

What `odds propose`, `odds elicit` and `odds judge` share. The ledger makes a reply durable before it is used, so rows
are written to the warehouse in large groups: a run that is killed reads what it had from the ledger.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf

from flows.llm_runs.account import WITH_REASONS, account
from flows.llm_runs.artifact import Figures, leave_artifact
from flows.llm_runs.writer import Writer
from flows.outcome import Outcome
from flows.services import ledger, running_endpoints
from flows.settings.settings import Settings
from flows.terminal.console import note, say
from flows.terminal.progress import request_progress
from flows.terminal.signals import ending, stops_on_signals
from synthesis.batch.runner import BatchState, run_batches, under_way
from synthesis.llm.client import Caller
from synthesis.panel.settings import EMBEDDED, ModelConfig, prices_of
from synthesis.plan import Plan, plan
from synthesis.progress import RunProgress
from synthesis.questions.question import Answer, Question
from synthesis.run import run_questions
from warehouse.catalog.connect import Warehouse
from warehouse.errors import InputError, ServiceError
from warehouse.queries.stages import askers_with_replies, tokens_of_prompts
from warehouse.records import Record, Request

QUESTIONS_PER_SLOT = 3
"""Questions under way for each request in flight: while some wait for the disk, others are on the network."""
CHUNKS_AHEAD = 2
"""Lists of answers that wait for the writer: those from the ledger come faster than they are written."""


@dataclass(frozen=True)
class Job:
    """What one config is to be asked: `count` questions, which `questions` gives from the beginning each time.

    `what` tells it from other work of the same config.
    """

    config: ModelConfig
    count: int
    questions: Callable[[], Iterator[Question]]
    what: str = ""

    @property
    def name(self) -> str:
        """The work, for a person."""
        return f"{self.config.name}, {self.what}" if self.what else self.config.name


@dataclass(frozen=True)
class RunOptions:
    """How a run is to go: what it may cost, in the currency of the prices, and whether by the batch interface.

    `before` is what the stage came to until now: it counts towards the cost, and the outcome is that of both. `figures`
    gathers what the artifact of the stage says besides.
    """

    max_cost: float | None = None
    batch: bool = False
    before: Outcome | None = None
    figures: Figures = field(default_factory=Figures)


def run_jobs(settings: Settings, warehouse: Warehouse, stage: str, jobs: Sequence[Job], options: RunOptions) -> Outcome:
    """Ask everything, write what it comes to, and say it in numbers.

    An endpoint that fails does not stop the others; when they are done, its error is raised. Ctrl-C finishes the
    requests under way and keeps what came; pressed twice it ends at once. Either way the numbers are printed first.

    Raises `InputError` for settings that cannot be used, among them a limit of cost without prices; `ServiceError`
    where an endpoint does not work.
    """
    jobs = [each for each in jobs if each.count]
    before = options.before
    check_prices(settings, jobs, options)
    if not jobs:
        return before or Outcome(stage=stage, counts={"requests": 0})
    names = {each.config.endpoint for each in jobs}
    replied = askers_with_replies(warehouse)
    with running_endpoints(settings, names) as endpoints, ledger(settings) as opened:
        configs = [each.config for each in jobs]
        caller = Caller(endpoints, opened, configs, options.max_cost)
        if before is not None:
            caller.budget.paid, caller.budget.unsure = before.cost, before.unsure
        for config in configs:
            if (config.name, config.model) in replied:
                caller.has_replied(config)
        far = any(each.base_url != EMBEDDED for each in settings.endpoints if each.name in names)
        run = _Run(warehouse, caller, jobs, options, finishes=far)
        total = sum(each.count for each in jobs)
        error: BaseException | None = None
        try:
            with request_progress(stage, total, lambda: caller.waiting) as show:
                asyncio.run(run.to_the_end(show))
        except BaseException as raised:
            error = raised
        error = ending(error, caller)
        outcome = account(stage, run.progress, run.written, run.writer.without, caller)
        if before is not None:
            outcome = before.and_then(outcome)
        options.figures.add(run.progress.done, total, time.monotonic() - run.began)
        leave_artifact(outcome, options.figures, error)
    if error is not None:
        say(outcome.line())
        raise error
    return outcome


def plan_jobs(settings: Settings, warehouse: Warehouse, jobs: Sequence[Job], options: RunOptions) -> dict[str, Plan]:
    """What each work would take, by its name. Nothing is sent and nothing is written."""
    endpoints = {each.name: each for each in settings.endpoints}
    past = tokens_of_prompts(warehouse)
    with ledger(settings) as opened:

        def planned(one: Job) -> Plan:
            endpoint = endpoints[one.config.endpoint]
            return plan(one.questions(), one.config, endpoint, opened, past, batch=options.batch)

        return {each.name: planned(each) for each in jobs}


def check_prices(settings: Settings, jobs: Sequence[Job], options: RunOptions) -> None:
    """Raises `InputError` where the cost is limited and somebody who is asked has no prices, or no bound on a reply.

    So it does where the limit is no amount.
    """
    if options.max_cost is None:
        return
    if not 0 <= options.max_cost < inf:
        raise InputError(f"--max-cost: {options.max_cost} is no amount; give a number from 0 on")
    endpoints = {each.name: each for each in settings.endpoints}
    for config in (each.config for each in jobs):
        endpoint = endpoints[config.endpoint]
        for name, price in zip(("price_in", "price_out"), prices_of(endpoint, config), strict=True):
            if price is None:
                raise InputError(
                    f"--max-cost: {config.name} has no {name}; set it there or for the endpoint {endpoint.name}"
                )
        if "max_tokens" in config.omit and "max_completion_tokens" not in config.extra:
            raise InputError(
                f"--max-cost: {config.name} omits max_tokens, so that a reply may cost anything; "
                "send it, or max_completion_tokens in extra"
            )


class _Run:
    """One run: a stream of answers for each endpoint, and one writer."""

    def __init__(
        self, warehouse: Warehouse, caller: Caller, jobs: Sequence[Job], options: RunOptions, *, finishes: bool
    ) -> None:
        self.caller = caller
        self._finishes = finishes
        self.progress = RunProgress()
        self.began = time.monotonic()
        self.writer = Writer(warehouse)
        self._jobs = jobs
        self._options = options
        self._show: Callable[[RunProgress], None] = lambda _: None
        self._states: dict[int, BatchState] = {}

    async def _tell_batches(self) -> None:
        """Says of which endpoints batches are under way, where this run does not wait for them: the ledger holds them.

        What is in a batch that its endpoint never made is free again.
        """
        for name in {each.config.endpoint for each in self._jobs}:
            if not self._options.batch and await under_way(self.caller, name):
                note(f"endpoint {name} has a batch under way: what is in it is left out now; --batch takes it in")

    async def to_the_end(self, show: Callable[[RunProgress], None]) -> None:
        """Asks everything and writes it. Raises the first error when all endpoints are done."""
        self._show = show
        streams = [self._stream(number, group) for number, group in enumerate(_streams(self._jobs))]
        queue: asyncio.Queue[list[Answer] | None] = asyncio.Queue(maxsize=CHUNKS_AHEAD)
        async with self.caller:
            with stops_on_signals(self.caller, finishes=self._finishes):
                await self._tell_batches()
                tasks = [asyncio.ensure_future(_feed(stream, queue)) for stream in streams]
                try:
                    await self._write_all(queue, len(tasks))
                finally:
                    for task in tasks:
                        task.cancel()
                    ended = await asyncio.gather(*tasks, return_exceptions=True)
        errors = [each for each in ended if isinstance(each, Exception)]
        if errors:
            raise _together(errors)

    def _stream(self, number: int, group: Sequence[Job]) -> AsyncGenerator[list[Answer], None]:
        questions = self._questions(group)
        endpoint = self.caller.endpoint(group[0].config.endpoint)
        if self._options.batch:
            return run_batches(questions, self.caller, endpoint.name, on_state=partial(self._handed_in, number))
        return run_questions(questions, self.caller, QUESTIONS_PER_SLOT * endpoint.max_in_flight)

    def _questions(self, group: Sequence[Job]) -> Iterator[Question]:
        """Those of each in turn, as long as what it asks would be sent."""
        for each in group:
            for question in each.questions():
                if self.caller.skips(each.config):
                    break
                yield question

    def _handed_in(self, stream: int, state: BatchState) -> None:
        """Shows how far the batches of all streams are."""
        self._states[stream] = state
        states = self._states.values()
        handed_in = sum(each.submitted for each in states)
        came_back = sum(each.completed + each.failed for each in states)
        self.progress = replace(self.progress, handed_in=handed_in, came_back=came_back)
        self._show(self.progress)

    @property
    def written(self) -> dict[str, int]:
        """The rows by table. Two replies may make the same text, or one that is there: those count once, or not."""
        made, changed = self.writer.made, self.writer.changed
        return {table: count if table in WITH_REASONS else changed[table] for table, count in made.items()}

    async def _write_all(self, queue: asyncio.Queue[list[Answer] | None], open_streams: int) -> None:
        while open_streams:
            try:
                async with asyncio.timeout(self.writer.due_in):
                    answers = await queue.get()
            except TimeoutError:
                await self.writer.write()
                continue
            if answers is None:
                open_streams -= 1
                continue
            rows = [row for answer in answers for row in answer.rows]
            self._options.figures.tallies.add(rows, self.caller.fresh)
            self._count(rows, len(answers))
            self._show(self.progress)
            await self.writer.add(rows)
        await self.writer.finish()

    def _count(self, rows: Sequence[Record], answers: int) -> None:
        progress = self.progress.after(rows, answers)
        of_requests = {row.request_id for row in rows if isinstance(row, Request)}
        fresh = of_requests & self.caller.fresh
        self.caller.fresh -= fresh
        for request_id in fresh:
            self.caller.paid.pop(request_id, None)
        kept = self.progress.kept + len(of_requests) - len(fresh)
        self.progress = progress.now(kept=kept, cost=self.caller.budget.paid)


def _streams(jobs: Sequence[Job]) -> list[list[Job]]:
    """Who is asked in turn: those at one endpoint. Who has options of its own holds nobody else up."""
    groups: dict[tuple[str, str], list[Job]] = {}
    for each in jobs:
        config = each.config
        own = config.max_in_flight or config.requests_per_minute or config.tokens_per_minute
        groups.setdefault((config.endpoint, config.name if own else ""), []).append(each)
    return list(groups.values())


async def _feed(stream: AsyncGenerator[list[Answer], None], queue: asyncio.Queue[list[Answer] | None]) -> None:
    """Hands on what a stream gives, and None at its end, also where that is an error."""
    try:
        async with aclosing(stream):
            async for answers in stream:
                await queue.put(answers)
    except Exception:
        await queue.put(None)
        raise
    await queue.put(None)


def _together(errors: Sequence[Exception]) -> Exception:
    """One error of several endpoints."""
    said = list(dict.fromkeys(str(error) for error in errors))
    first = errors[0]
    if len(said) == 1 or not all(isinstance(error, ServiceError) for error in errors):
        return first
    return ServiceError("; ".join(said))
