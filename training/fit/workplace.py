"""The workplace of a fit, a folder beside that of its estimator: one fit at a time works there, on a disk with room."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from safetensors import SafetensorError

from training.fit.record import workplace_of
from warehouse.atomic import left_behind, remove, scratch_path
from warehouse.errors import InputError

_LOCK = "lock"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def workplace(folder: Path, *, main: bool) -> Iterator[tuple[Path, Path]]:
    """Give the workplace of a fit, which stays if the fit stops after a checkpoint, and a temporary folder in it.

    Args:
        folder: Where the estimator goes.
        main: Whether this is the main process of the fit. The others neither lock the workplace nor wait for the lock.

    Raises:
        InputError: another process fits this estimator, or has just finished.
    """
    work = workplace_of(folder)
    with _alone(folder) if main else nullcontext():
        try:
            if main:
                refuse_existing(folder)
                remove(left_behind(work))
            with _scratch(work) as rows:
                yield work, rows
        finally:
            if main:
                _remove_unless_begun(work)


@contextmanager
def _scratch(work: Path) -> Iterator[Path]:
    """Give a temporary folder in a workplace."""
    work.mkdir(parents=True, exist_ok=True)
    rows = scratch_path(work / "rows")
    try:
        rows.mkdir()
        yield rows
    finally:
        shutil.rmtree(rows, ignore_errors=True)


def refuse_existing(folder: Path) -> None:
    """Raise `InputError` if there is an estimator already."""
    if folder.exists():
        raise InputError(f"{folder} already exists; move it away to fit this estimator again")


def refuse_running(folder: Path) -> None:
    """Raise `InputError` if the estimator in a folder is being fitted."""
    if workplace_of(folder).exists():
        with _alone(folder):
            pass


def discard_workplace(folder: Path) -> None:
    """Remove what an earlier fit of the estimator in a folder left to go on with.

    Raises:
        InputError: it is still running.
    """
    if workplace_of(folder).exists():
        with _alone(folder):
            shutil.rmtree(workplace_of(folder), ignore_errors=True)


def sweep_workplace(folder: Path) -> None:
    """Remove what a fit left without a checkpoint, unless one is running."""
    if workplace_of(folder).exists():
        with suppress(InputError), _alone(folder):
            _remove_unless_begun(workplace_of(folder))


@contextmanager
def full_disk_in_one_line(work: Path) -> Iterator[None]:
    """Turn the error of a full disk, or of a used up quota, into an `InputError` that says what to do."""
    try:
        yield
    except (OSError, SafetensorError, InputError) as error:
        if not is_full(error):
            raise
        told = f"{_place_of(error) or work} cannot be written: {_cause(error)}"
        told = str(error) if isinstance(error, InputError) else told
        again = ", which goes on from its last checkpoint" if _begun(work) else ""
        raise InputError(f"{told}; make room there and run odds train again{again}") from error


def is_full(error: Exception) -> bool:
    """Whether an error says that the disk is full or its quota is used up."""
    return _code(error) in _FULL or any(os.strerror(code) in str(error) for code in _FULL)


def _cause(error: Exception) -> str:
    """Return what the system calls the error of a full disk; some libraries have it only within a sentence."""
    return next(os.strerror(code) for code in _FULL if code == _code(error) or os.strerror(code) in str(error))


def _code(error: Exception) -> int | None:
    return getattr(error, "errno", None)


def _place_of(error: Exception) -> str | None:
    return getattr(error, "filename2", None) or getattr(error, "filename", None)


def _begun(work: Path) -> bool:
    """Whether a fit can go on from a checkpoint."""
    return any(work.glob("step-*.json"))


def _remove_unless_begun(work: Path) -> None:
    if not _begun(work):
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of a workplace, which is created. The system frees it when the process dies, however that happens.

    The lock is on a file, since not every network file system locks folders; the file itself means nothing, and goes
    with the workplace.
    """
    handle = _locked(folder)
    try:
        yield
    finally:
        os.close(handle)


def _locked(folder: Path) -> int:
    place = workplace_of(folder) / _LOCK
    while True:
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(place, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            continue  # a fit that ended has just removed the folder
        try:
            _lock(handle, folder)
            found = _is_at(handle, place)
        except BaseException:
            os.close(handle)
            raise
        if found:
            return handle
        os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    """Lock an open file and write into it who has it. Raises `InputError` if another process has it."""
    if not lock_if_free(handle):
        who = os.pread(handle, 200, 0).decode(errors="replace") or "another process"
        raise InputError(f"{who} is fitting the estimator {folder} already; wait for it, or end it first")
    with suppress(OSError):  # on a full disk, only the name is missing
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)


def lock_if_free(handle: int) -> bool:
    """Lock an open file, where the file system can, and return whether no other process has it locked.

    The system frees the lock when the file is closed or the process dies.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


def _is_at(handle: int, place: Path) -> bool:
    """Whether an open file is still the one at a path: a fit that ended may have removed it before we had the lock."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(handle), place.stat())
    return False
