"""Push and pull against a Label Studio started for this run, beside the bare calls that neither can do without.

    python -m benchmarks.sync [--tasks 500] [--annotated 500 ...] [--new 200]

Push is the whole of `odds push` with so many propositions: it reads the warehouse, makes the project, imports the tasks
and writes their rows. Beside it the SDK imports the same tasks in one request. Pull is the whole of `odds pull` from
projects with so many annotated tasks: first into a new warehouse, beside the export of the whole project (up to
`EXPORT_LIMIT` tasks); then with nothing changed, with `--new` annotations more, and with as many again, among them
junk and skips, after some deletions. Beside those the SDK reads the project and its users, lists what changed, counts,
and exports the tasks that changed; it does not look for deletions. Each side runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from label_studio_sdk import LabelStudio

from annotation.interface.page import page_of
from annotation.studio import server
from annotation.studio.client import connect
from annotation.studio.listing import annotated, changed_after
from annotation.sync.mapping import task_of
from annotation.sync.push import make_project
from benchmarks.measure import Clock, Measured, measured
from flows.settings.settings import load_settings
from warehouse import open_warehouse
from warehouse.catalog.store import merge_all
from warehouse.records import Premise, Proposition, PropositionText, premise_id, proposition_id

TOKEN = "LABEL_STUDIO_TOKEN"  # noqa: S105 - the name of a variable, not a token
IMPORT_CHUNK, EXPORT_LIMIT = 2_500, 10_000
SKIP_EVERY, JUNK_EVERY = 20, 21
DELETIONS = 10
PREMISE = "Person number {} walks through the old town with an umbrella, two bags and a dog."
HYPOTHESIS = "It rains on the day on which person number {} is out."


class Project(NamedTuple):
    """An installation's settings, its project, and the tasks there: those that were annotated first, then open ones."""

    config: Path
    url: str
    number: int
    done: list[int]
    open: list[int]


@contextmanager
def label_studio() -> Iterator[tuple[Path, str]]:
    """A folder with a new server in it, and the server's address; both are gone in the end."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        try:
            address = server.start(home, server.find_command())
            os.environ[TOKEN] = address.token
            yield home, address.url
        finally:
            server.stop(home)


def texts(start: int, end: int) -> Iterator[PropositionText]:
    for i in range(start, end):
        pair = {"premise": PREMISE.format(i), "hypothesis": HYPOTHESIS.format(i)}
        yield PropositionText(proposition_id=proposition_id(**pair), **pair)


def installation(home: Path, url: str, title: str, propositions: int = 0) -> Path:
    """Settings for a project with this title, and a warehouse with so many propositions."""
    config = home / title / "odds.toml"
    config.parent.mkdir()
    config.write_text(f'[annotation]\nurl = "{url}"\nproject = "{title}"\n')
    settings = load_settings(config)
    premises, rows = [], []
    for name, premise, hypothesis in (text.model_dump().values() for text in texts(0, propositions)):
        premises.append(Premise(premise_id=premise_id(premise), text=premise, source="made-up"))
        more = {"kind": "imported", "source": "made-up", "split": "train", "premise_id": premises[-1].premise_id}
        rows.append(Proposition.model_validate({"proposition_id": name, "hypothesis": hypothesis, **more}))
    with open_warehouse(settings.catalog, settings.data_path, read_only=False) as warehouse:
        merge_all(warehouse, [premises, rows])
    return config


def sdk(url: str) -> Any:
    return LabelStudio(base_url=url, api_key=os.environ[TOKEN], timeout=3600, max_retries=0)  # type: ignore[no-untyped-call]


def answer(position: int) -> dict[str, Any]:
    """An annotation; one in `SKIP_EVERY` is a skip, and one in `JUNK_EVERY` is out of range."""
    if position % SKIP_EVERY == 0:
        return {"result": [], "was_cancelled": True}
    value = {"number": 9999 if position % JUNK_EVERY == 0 else position % 1000 / 10}
    rating = {"from_name": "probability", "to_name": "hypothesis", "type": "number", "value": value}
    return {"result": [rating], "lead_time": 12.5}


def usable(positions: Sequence[int]) -> list[int]:
    """Those of the positions whose answers are judgments."""
    return [position for position in positions if position % SKIP_EVERY and position % JUNK_EVERY]


def bare_push(url: str, number: int, tasks: int) -> tuple[object, float]:
    made, client = [task_of(text) for text in texts(0, tasks)], sdk(url)
    with Clock() as clock:
        reply = client.projects.import_tasks(number, request=made, return_task_ids=True)
    return len(reply.task_ids), clock.seconds


def our_push(config: Path) -> tuple[object, float]:
    from flows.push import push

    with Clock() as clock:
        outcome = push.fn(config)
    return outcome.counts["new tasks"], clock.seconds


def export(client: Any, number: int, ids: Sequence[int] = ()) -> int:
    chosen = {"additional_query_parameters": {"ids[]": [str(name) for name in ids]}} if ids else None
    exported = client.projects.exports.download_sync(number, export_type="JSON", request_options=chosen)
    return len(json.loads(b"".join(exported)))


def bare_export(url: str, number: int) -> tuple[object, float]:
    client = sdk(url)
    with Clock() as clock:
        exported = export(client, number)
    return exported, clock.seconds


def bare_pull(url: str, number: int, since: datetime) -> tuple[object, float]:
    def page(size: int, *conditions: dict[str, Any]) -> Any:
        query = json.dumps({"filters": {"conjunction": "and", "items": conditions}})
        include = "id,updated_at,total_annotations"
        return client.tasks.list(project=number, page_size=size, query=query, include=include).response

    with Clock() as clock:
        client = sdk(url)
        client.projects.get(number)
        list(client.users.list())
        changed = [task.id for task in page(1000, changed_after(since)).tasks]
        page(1, annotated())
        exported = export(client, number, changed) if changed else 0
    return exported, clock.seconds


def our_pull(config: Path) -> tuple[object, float]:
    from flows.pull import pull

    with Clock() as clock:
        outcome = pull.fn(config)
    return (outcome.counts["new judgments"], outcome.counts["deleted"]), clock.seconds


def new_project(url: str, title: str) -> int:
    return make_project(connect(url, os.environ[TOKEN]), title, overlap=3, page=page_of("slider")).id


def annotated_project(home: Path, url: str, tasks: int, opened: int) -> Project:
    """A project whose tasks came with an annotation each, changed over the last month as far as the server knows."""
    config = installation(home, url, f"pull {tasks}")
    client, number = sdk(url), new_project(url, f"pull {tasks}")
    ids: list[int] = []
    for start in range(0, tasks + opened, IMPORT_CHUNK):
        made = [task_of(text) for text in texts(start, min(start + IMPORT_CHUNK, tasks + opened))]
        for position, task in enumerate(made, start):
            task["annotations"] = [answer(position)] if position < tasks else []
        ids.extend(client.projects.import_tasks(number, request=made, return_task_ids=True).task_ids)
    # A pull lists what changed in its last five minutes once more: tasks made a moment ago are no older state.
    earlier = "strftime('%Y-%m-%d %H:%M:%f', updated_at, '-' || (10 + id * 7919 % 43200) || ' minutes')"
    with sqlite3.connect(home / "label-studio" / server.DATABASE, timeout=60) as database:
        database.execute(f"UPDATE task SET updated_at = {earlier} WHERE project_id = ?", [number])
    return Project(config, url, number, ids[:tasks], ids[tasks:])


def annotate(project: Project, tasks: Sequence[int], positions: Sequence[int]) -> None:
    client = sdk(project.url)
    for task, position in zip(tasks, positions, strict=True):
        client.annotations.create(task, **answer(position))


def delete(project: Project) -> tuple[list[int], list[int]]:
    """Delete `DELETIONS` annotations all over the project, half of them with their tasks.

    Returns:
        The deleted tasks, whose judgments still count, and those that only lost their annotation.
    """
    client, judged = sdk(project.url), usable(range(len(project.done)))
    chosen = [project.done[at] for at in judged[:: -(-len(judged) // DELETIONS)]]
    tasks, annotated = chosen[::2], chosen[1::2]
    for task in tasks:
        client.tasks.delete(str(task))
    for task in annotated:
        client.annotations.delete(client.annotations.list(task)[0].id)
    return tasks, annotated


def row(name: str, ours: Measured, bare: Measured | None, found: int | tuple[int, int]) -> None:
    """Print a row. Figures of a side that did not find what is there are refused."""
    if ours.result != found or (isinstance(found, int) and bare and bare.result != found):
        raise SystemExit(f"{name}: found {ours.result} beside {bare and bare.result}, not {found}")
    beside = f"{bare.seconds:.2f} | {ours.seconds / bare.seconds:.2f}" if bare else "not measured |"
    print(f"| {name} | {ours.seconds:.2f} | {beside} |", flush=True)


def push_figures(home: Path, url: str, tasks: int) -> None:
    number = new_project(url, "bare push")
    bare = measured(bare_push, url, number, tasks)
    row(f"push of {tasks:,}", measured(our_push, installation(home, url, "push", tasks)), bare, tasks)


def pull_figures(home: Path, url: str, tasks: int, new: int) -> None:
    project = annotated_project(home, url, tasks, new)
    whole = measured(bare_export, url, project.number) if tasks <= EXPORT_LIMIT else None
    first = measured(our_pull, project.config)
    row(f"{tasks:,} annotated: first pull, beside the whole export", first, whole, (len(usable(range(tasks))), 0))

    def fresh() -> tuple[int, int]:
        annotate(project, project.open, [1] * new)
        return new, 0

    def mixed() -> tuple[int, int]:
        tasks, annotated = delete(project)
        left = sorted(set(project.done).difference(tasks, annotated))
        chosen = left[:: max(1, len(left) // new)][:new]
        annotate(project, chosen, range(len(chosen)))
        return len(usable(range(len(chosen)))), len(annotated)

    mixture = f"{new} with junk and skips, {DELETIONS} deletions"
    for name, change in {"nothing new": lambda: (0, 0), f"{new} new": fresh, mixture: mixed}.items():
        since = datetime.now(UTC) - timedelta(seconds=1)
        found = change()
        bare = measured(bare_pull, url, project.number, since)
        row(f"{tasks:,} annotated: {name}", measured(our_pull, project.config), bare, found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=500, help="propositions that are pushed; 0 for no push")
    parser.add_argument("--annotated", type=int, nargs="*", default=[500], help="annotated tasks of the projects")
    parser.add_argument("--new", type=int, default=200, help="annotations between two pulls")
    options = parser.parse_args()
    with label_studio() as (home, url):
        print("| what | odds, s | bare, s | ratio |\n|---|---|---|---|", flush=True)
        if options.tasks:
            push_figures(home, url, options.tasks)
        for tasks in options.annotated:
            pull_figures(home, url, tasks, options.new)


if __name__ == "__main__":
    main()
