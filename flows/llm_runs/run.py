"""Runs jobs at several endpoints at once, and writes the results as they come.

Shared by `odds propose`, `odds elicit` and `odds judge`. The ledger makes a reply durable before it is used, so rows
are written to the warehouse in large groups: a run that was killed reads what it had from the ledger.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial

from flows.llm_runs.account import WITH_REASONS, account
from flows.llm_runs.artifact import leave_artifact
from flows.llm_runs.jobs import Job, RunOptions, check_prices
from flows.llm_runs.writer import Writer
from flows.settings.settings import Settings
from flows.stages.outcome import Outcome
from flows.stages.services import ledger, running_endpoints
from flows.terminal.console import note, say
from flows.terminal.progress import request_progress
from flows.terminal.signals import ending, stops_on_signals
from flows.terminal.stopping import last_words
from synthesis.batch.runner import BatchState, run_batches, under_way
from synthesis.llm.client import Caller
from synthesis.panel.settings import EMBEDDED
from synthesis.progress import RunProgress
from synthesis.questions.question import Answer, Question
from synthesis.run import run_questions
from warehouse.catalog.connect import Warehouse
from warehouse.errors import OddsError, ServiceError, together
from warehouse.queries.stages import askers_with_replies
from warehouse.records import Record, Request

QUESTIONS_PER_SLOT = 3
"""Questions in progress for each request in flight: while some wait for the disk, others are on the network."""
CHUNKS_AHEAD = 2
"""Lists of answers that wait for the writer; those from the ledger come faster than they are written."""


def run_jobs(settings: Settings, warehouse: Warehouse, stage: str, jobs: Sequence[Job], options: RunOptions) -> Outcome:
    """Asks everything, writes what comes of it, and returns the counts.

    An endpoint that fails does not stop the others; once they are done, its error is raised. Ctrl-C finishes the
    requests in flight and keeps their replies; pressed twice, it ends at once. Either way the counts are printed first.

    Raises:
        InputError: the settings cannot be used, for example a limit of cost without prices.
        ServiceError: an endpoint does not work.
    """
    jobs = [job for job in jobs if job.count]
    before = options.before
    check_prices(settings, jobs, options)
    if not jobs:
        return before or Outcome(stage=stage, counts={"requests": 0})
    names = {settings.endpoint_of(job.config).name for job in jobs}
    replied = askers_with_replies(warehouse)
    with running_endpoints(settings, names) as endpoints, ledger(settings) as opened:
        configs = [job.config for job in jobs]
        caller = Caller(endpoints, opened, configs, options.max_cost)
        if before is not None:
            caller.budget.paid, caller.budget.unsure = before.cost, before.unsure
        for config in configs:
            if (config.name, config.model) in replied:
                caller.has_replied(config)
        remote = any(each.base_url != EMBEDDED for each in settings.endpoints if each.name in names)
        run = _Run(warehouse, caller, jobs, options, finishes=remote)
        total = sum(job.count for job in jobs)
        error: BaseException | None = None

        def outcome_so_far() -> Outcome:
            made = account(stage, run.progress, run.written, run.writer.without, caller)
            return made if before is None else before.and_then(made)

        with last_words(lambda: outcome_so_far().line()):
            try:
                with request_progress(stage, total, lambda: caller.waiting) as show:
                    asyncio.run(run.to_the_end(show))
            except BaseException as raised:
                error = raised
            error = ending(error, caller)
            outcome = outcome_so_far()
            options.figures.add(run.progress.done, total, time.monotonic() - run.began)
            leave_artifact(outcome, options.figures, error)
    if error is not None:
        say(outcome.line())
        if isinstance(error, OddsError):
            error.spent = outcome.spent
        raise error
    return outcome


class _Run:
    """One run: a stream of answers per endpoint, and one writer."""

    def __init__(
        self, warehouse: Warehouse, caller: Caller, jobs: Sequence[Job], options: RunOptions, *, finishes: bool
    ) -> None:
        self.caller = caller
        self.progress = RunProgress()
        self.began = time.monotonic()
        self.writer = Writer(warehouse)
        self._finishes = finishes
        self._jobs = jobs
        self._options = options
        self._show: Callable[[RunProgress], None] = lambda _: None
        self._states: dict[int, BatchState] = {}

    async def to_the_end(self, show: Callable[[RunProgress], None]) -> None:
        """Asks everything and writes it. Raises the first error once all endpoints are done."""
        self._show = show
        streams = [self._stream(number, group) for number, group in enumerate(_streams(self._jobs))]
        queue: asyncio.Queue[list[Answer] | None] = asyncio.Queue(maxsize=CHUNKS_AHEAD)
        async with self.caller:
            with stops_on_signals(self.caller, finishes=self._finishes):
                await self._note_batches()
                tasks = [asyncio.ensure_future(_feed(stream, queue)) for stream in streams]
                try:
                    await self._write_all(queue, len(tasks))
                finally:
                    for task in tasks:
                        task.cancel()
                    ended = await asyncio.gather(*tasks, return_exceptions=True)
        if errors := [each for each in ended if isinstance(each, Exception)]:
            failures = [each for each in errors if isinstance(each, ServiceError)]
            raise together(failures) if failures == errors else errors[0]

    @property
    def written(self) -> dict[str, int]:
        """The rows by table. A text that two replies wrote counts once, one that existed before does not count."""
        made, changed = self.writer.made, self.writer.changed
        return {table: count if table in WITH_REASONS else changed[table] for table, count in made.items()}

    async def _note_batches(self) -> None:
        """Notes the endpoints with batches in progress that this run does not wait for.

        Looking also frees the calls of batches that their endpoint never made.
        """
        for name in {job.config.endpoint for job in self._jobs}:
            if not self._options.batch and await under_way(self.caller, name):
                note(f"endpoint {name} has a batch in progress; its requests are left out now, --batch collects them")

    def _stream(self, number: int, group: Sequence[Job]) -> AsyncGenerator[list[Answer], None]:
        questions = self._questions(group)
        endpoint = self.caller.endpoint(group[0].config.endpoint)
        if self._options.batch:
            return run_batches(questions, self.caller, endpoint.name, on_state=partial(self._batch_state, number))
        return run_questions(questions, self.caller, QUESTIONS_PER_SLOT * endpoint.max_in_flight)

    def _questions(self, group: Sequence[Job]) -> Iterator[Question]:
        """The questions of each job in turn, as long as its calls would be sent."""
        for job in group:
            for question in job.questions():
                if self.caller.skips(job.config):
                    break
                yield question

    def _batch_state(self, stream: int, state: BatchState) -> None:
        """Shows the state of the batches of all streams."""
        self._states[stream] = state
        states = self._states.values()
        handed_in = sum(each.submitted for each in states)
        came_back = sum(each.completed + each.failed for each in states)
        self.progress = replace(self.progress, handed_in=handed_in, came_back=came_back)
        self._show(self.progress)

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
            self._options.figures.count(rows, self.caller.fresh)
            self._count(rows, len(answers))
            self._show(self.progress)
            await self.writer.add(rows)
        await self.writer.finish()

    def _count(self, rows: Sequence[Record], answers: int) -> None:
        progress = self.progress.after(rows, answers)
        request_ids = {row.request_id for row in rows if isinstance(row, Request)}
        fresh = request_ids & self.caller.fresh
        self.caller.fresh -= fresh
        for request_id in fresh:
            self.caller.paid.pop(request_id, None)
        kept = self.progress.kept + len(request_ids) - len(fresh)
        self.progress = progress.now(kept=kept, cost=self.caller.budget.paid)


def _streams(jobs: Sequence[Job]) -> list[list[Job]]:
    """The jobs that run one after the other: those at one endpoint, except that own limits must hold up nobody else."""
    groups: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        config = job.config
        has_own = config.max_in_flight or config.requests_per_minute or config.tokens_per_minute
        groups.setdefault((config.endpoint, config.name if has_own else ""), []).append(job)
    return list(groups.values())


async def _feed(stream: AsyncGenerator[list[Answer], None], queue: asyncio.Queue[list[Answer] | None]) -> None:
    """Passes on what a stream yields, and None at its end or its error."""
    try:
        async with aclosing(stream):
            async for answers in stream:
                await queue.put(answers)
    except Exception:
        await queue.put(None)
        raise
    await queue.put(None)
