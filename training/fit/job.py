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

import yaml
from pydantic import BaseModel, ConfigDict

from training.fit.watch import FitProgress, Watch
from training.fit.workplace import discard_workplace, sweep_workplace
from training.settings import FitSettings
from warehouse.errors import InputError, OddsError
from warehouse.shards import ShardRows

if TYPE_CHECKING:
    from training.fit.plan import Plan

_SPLITTING_TYPES = {"FSDP", "DEEPSPEED", "MEGATRON_LM", "TP"}
_SPLITTING = {"fsdp_config", "deepspeed_config", "megatron_lm_config", "parallelism_config"}


class Job(BaseModel):
    """A fit of an estimator on a published dataset.

    Attributes:
        dataset: The folder of the dataset.
        settings: How to fit; `launch` names a configuration of `accelerate launch` for several processes.
        cache: Where a converted base is kept.
        folder: Where the estimator goes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: Path
    settings: FitSettings
    cache: Path
    folder: Path

    def run(self, watch: Watch, *, fresh: bool = False) -> None:
        """Fit the estimator. Raises as `training.fit.loop.fit` does."""
        if fresh:  # here, since of several processes one would remove what another has just written
            discard_workplace(self.folder)
        if self.settings.launch:
            try:
                self._launch(Path(self.settings.launch), watch)
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
            pairs=pairs, dev_pairs=dev_pairs, watch=watch,
        )  # fmt: skip

    def plan(self, watch: Watch) -> Plan:
        """Make two steps in a temporary folder, and return what all of them would take."""
        from training.fit.plan import plan

        train, dev, pairs, dev_pairs = self._rows()
        return plan((train, pairs), (dev, dev_pairs), self.settings, self.cache, watch)

    def _rows(self) -> tuple[ShardRows, ShardRows, ShardRows, ShardRows]:
        train, dev = ShardRows(self.dataset, "train"), ShardRows(self.dataset, "dev")
        return train, dev, ShardRows(self.dataset, "train", "pairs"), ShardRows(self.dataset, "dev", "pairs")

    def _launch(self, configuration: Path, watch: Watch) -> None:
        """Run this job under `accelerate launch`, and pass on what the first process tells."""
        _check_launch(configuration)
        with tempfile.TemporaryDirectory() as scratch:
            job = Path(scratch, "job.json")
            job.write_text(self.model_dump_json(), encoding="utf-8")
            command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(configuration)]
            command += ["--module", "training.fit.job", str(job)]
            errors = Path(scratch, "stderr")
            with (
                errors.open("w", encoding="utf-8") as stderr,
                subprocess.Popen(
                    command, stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True
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


def _check_launch(configuration: Path) -> None:
    """Raise `InputError` unless a file is a configuration of `accelerate launch` that a fit can run under.

    Every process has the whole model: nothing here is split over processes, as FSDP would. On CPUs, accelerate itself
    would run such a configuration without splitting anything, and without a word.
    """
    if not configuration.is_file():
        raise InputError(f"{configuration}: no such file; training.launch is a configuration of accelerate")
    try:
        chosen = yaml.safe_load(configuration.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(
            f"{configuration}: not a YAML file; training.launch is a configuration of accelerate"
        ) from error
    if not isinstance(chosen, dict):
        raise InputError(f"{configuration}: not a configuration of accelerate; see examples/accelerate")
    sections = [name for name in chosen if chosen[name] and name in _SPLITTING]
    if (kind := str(chosen.get("distributed_type", "NO")).upper()) in _SPLITTING_TYPES or sections:
        said = sections[0] if sections else f"distributed_type: {kind}"
        raise InputError(
            f"{configuration}: {said} splits the model over processes, which a fit does not support; use "
            'distributed_type: MULTI_GPU, and gradient_checkpointing = true or tuning = "lora" to need less memory'
        )


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
