"""A fit as a job: everything it needs in one value, so that it can run in this process or in several others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from training.fit.launching import Launch, launch_at, refuse_unsplittable
from training.fit.watch import FitProgress, Watch
from training.fit.workplace import discard_workplace, sweep_workplace
from training.settings import FitSettings
from warehouse.errors import OddsError
from warehouse.shards import ShardRows

if TYPE_CHECKING:
    from training.fit.plan import Plan


class Job(BaseModel):
    """A fit of an estimator on a published dataset.

    Attributes:
        dataset: The folder of the dataset.
        settings: How to fit; `launch` names a configuration of `accelerate launch` for several processes.
        cache: Where a converted base is kept.
        folder: Where the estimator goes.
        split: Whether the model is split over the processes; what `launch` names decides that.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: Path
    settings: FitSettings
    cache: Path
    folder: Path
    split: bool = False

    def run(self, watch: Watch, *, fresh: bool = False) -> None:
        """Fit the estimator. Raises as `training.fit.loop.fit` does."""
        launch = self._launch_to_make()
        if fresh:  # here, since of several processes one would remove what another has just written
            discard_workplace(self.folder)
        if launch:
            try:
                self._launch(launch, watch)
            finally:
                sweep_workplace(self.folder)  # the launcher kills processes, which then cannot tidy up
        else:
            self.fit(watch)

    def fit(self, watch: Watch) -> None:
        """Fit the estimator in this process, or as one of several."""
        from training.fit.loop import fit

        train, dev, pairs, dev_pairs = self._rows()
        fit(
            train, dev, self.settings, self.cache, self.folder,
            pairs=pairs, dev_pairs=dev_pairs, watch=watch, split=self.split,
        )  # fmt: skip

    def plan(self, watch: Watch) -> Plan:
        """Make two steps in a temporary folder, and return what all of them would take."""
        from training.fit.plan import plan

        train, dev, pairs, dev_pairs = self._rows()
        return plan((train, pairs), (dev, dev_pairs), self.settings, self.cache, watch)

    def _rows(self) -> tuple[ShardRows, ShardRows, ShardRows, ShardRows]:
        train, dev = ShardRows(self.dataset, "train"), ShardRows(self.dataset, "dev")
        return train, dev, ShardRows(self.dataset, "train", "pairs"), ShardRows(self.dataset, "dev", "pairs")

    def _launch_to_make(self) -> Launch | None:
        """Return what `settings.launch` names. Raises `InputError` if this job cannot run like that."""
        if not self.settings.launch:
            return None
        launch = launch_at(Path(self.settings.launch))
        if launch.split:
            refuse_unsplittable(self.settings)
        return launch

    def _launch(self, launch: Launch, watch: Watch) -> None:
        """Run this job under `accelerate launch`, and pass on what the first process tells."""
        with tempfile.TemporaryDirectory() as scratch:
            job, configuration = Path(scratch, "job.json"), Path(scratch, "launch.yaml")
            job.write_text(self.model_copy(update={"split": launch.split}).model_dump_json(), encoding="utf-8")
            configuration.write_text(launch.text, encoding="utf-8")
            command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(configuration)]
            command += ["--module", "training.fit.job", str(job)]
            environment = {name: value for name, value in os.environ.items() if name != "ACCELERATE_USE_FSDP"}
            errors = Path(scratch, "stderr")
            with (
                errors.open("w", encoding="utf-8") as stderr,
                subprocess.Popen(
                    command, stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True, env=environment
                ) as running,
            ):
                assert running.stdout is not None
                try:
                    failure = _pass_on(running.stdout, watch)
                except BaseException:
                    os.killpg(running.pid, signal.SIGTERM)  # with the processes that the launcher started
                    raise
            if running.returncode:
                said = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
                ended = f"accelerate launch ended with status {running.returncode}: {' '.join(said)}"
                raise OddsError(failure or ended)


def _pass_on(lines: Any, watch: Watch) -> str | None:
    """Call a watch with what a process printed. Returns the message of its failure, if it had one."""
    failure = None
    for line in lines:
        try:
            told = json.loads(line)
        except ValueError:
            continue
        match told:
            case {"step": step}:
                watch.step(FitProgress(**step))
            case {"dev": [done, total]}:
                watch.dev(done, total)
            case {"asked": [done, total]}:
                watch.asked(done, total)
            case {"doing": what}:
                watch.doing(what)
            case {"note": what}:
                watch.note(what)
            case {"failure": what}:
                failure = what
    return failure


def _tell(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def main() -> int:
    """Run the job in the file that the first argument names, and print how it goes as JSON lines."""
    job = Job.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8"))
    watch = Watch(
        step=lambda now: _tell(step=asdict(now)),
        dev=lambda done, total: _tell(dev=[done, total]),
        asked=lambda done, total: _tell(asked=[done, total]),
        doing=lambda what: _tell(doing=what),
        note=lambda what: _tell(note=what),
    )
    try:
        job.fit(watch)
    except OddsError as error:
        _tell(failure=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
