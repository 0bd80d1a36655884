"""Files and folders appear whole or not at all, and what killed processes leave goes away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from warehouse.atomic import atomic_file, atomic_folder, left_behind, remove, write_atomically
from warehouse.errors import InputError

KILLED = """
import sys, time
from pathlib import Path
from warehouse.atomic import atomic_file, atomic_folder
with atomic_folder(Path(sys.argv[1])) as folder, atomic_file(Path(sys.argv[2])) as file:
    (folder / "part").write_text("half")
    file.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def killed_writer(folder: Path) -> None:
    """A process of its own is killed while it writes the folder `model` and the file `scores.csv`."""
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder / "model"), str(folder / "scores.csv")], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    assert list(left_behind(folder)) == []  # its writer lives
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


def test_a_file_and_a_folder_appear_when_they_are_whole(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "model") as folder, atomic_file(tmp_path / "scores.csv") as file:
        (folder / "weights").write_text("w")
        file.write_text("s")
        assert not {"model", "scores.csv"} & names(tmp_path)
    assert names(tmp_path) == {"model", "scores.csv"}
    assert (tmp_path / "model" / "weights").read_text() == "w"
    assert (tmp_path / "scores.csv").read_text() == "s"


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    write_atomically(tmp_path / "report.html", "old")

    def fail() -> None:
        with atomic_file(tmp_path / "report.html") as file:
            file.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "model"):
        raise KeyboardInterrupt
    assert names(tmp_path) == {"report.html"}
    assert (tmp_path / "report.html").read_text() == "old"


def test_a_folder_is_only_replaced_if_told_so(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with atomic_folder(tmp_path / "export", replace=True) as folder:
            (folder / text).write_text(text)
    assert names(tmp_path) == {"export"}
    assert names(tmp_path / "export") == {"second"}
    with pytest.raises(InputError, match="already exists"), atomic_folder(tmp_path / "export"):
        pass


def test_the_folder_of_a_faster_process_is_kept(tmp_path: Path) -> None:
    def too_late() -> None:
        with atomic_folder(tmp_path / "model"):
            (tmp_path / "model").mkdir()
            (tmp_path / "model" / "theirs").write_text("kept")

    with pytest.raises(InputError, match="already exists"):
        too_late()
    assert names(tmp_path) == {"model"}
    assert names(tmp_path / "model") == {"theirs"}


def test_a_private_file_is_never_readable_by_others(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "secret", 0o600) as file:
        assert file.stat().st_mode & 0o777 == 0o600
        file.write_text("s")
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["x" * 250, "ü" * 120, ".hidden", "a b#c%'", "-dash"])
def test_any_name_that_a_file_may_have_can_be_written(tmp_path: Path, name: str) -> None:
    write_atomically(tmp_path / name, "text")
    assert names(tmp_path) == {name}


def test_the_next_writer_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    (tmp_path / ".model.partial-notes").write_text("a person's")
    killed_writer(tmp_path)
    assert len(names(tmp_path)) == 3
    with atomic_folder(tmp_path / "model") as folder, atomic_file(tmp_path / "scores.csv") as file:
        assert names(tmp_path) == {folder.name, file.name, ".model.partial-notes"}
    assert names(tmp_path) == {"model", "scores.csv", ".model.partial-notes"}


def test_what_is_left_behind_is_found_at_any_depth_and_what_is_written_now_is_kept(tmp_path: Path) -> None:
    (tmp_path / "datasets" / "odds").mkdir(parents=True)
    killed_writer(tmp_path / "datasets" / "odds")
    with atomic_folder(tmp_path / "datasets" / "odds" / "v2") as mine:
        found = list(left_behind(tmp_path))
        assert {path.parent for path in found} == {mine.parent}
        assert [path.name.split(".partial-")[0] for path in found] == [".model", ".scores.csv"]
        assert remove(found) == 2
        assert names(mine.parent) == {mine.name}


def test_a_process_that_got_the_number_of_a_dead_one_does_not_keep_its_leftovers(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "model") as mine:
        pid, start, rest = mine.name.removeprefix(".model.partial-").split("-", 2)
        assert int(pid) == os.getpid()
        other = tmp_path / f".model.partial-{pid}-{int(start) + 1}-{rest}"
        other.mkdir()
        assert list(left_behind(tmp_path)) == [other]


def test_what_another_machine_writes_is_left_alone_until_nothing_changes_for_a_week(tmp_path: Path) -> None:
    theirs = tmp_path / ".model.partial-1-1-abcdef@another-machine"
    theirs.mkdir()
    (theirs / "weights").write_text("half")
    assert list(left_behind(tmp_path)) == []
    for path in (theirs / "weights", theirs):
        os.utime(path, (time.time() - 8 * 86_400,) * 2)
    assert list(left_behind(tmp_path)) == [theirs]


def test_an_old_folder_whose_replacement_never_came_is_kept(tmp_path: Path) -> None:
    old = tmp_path / ".export.replaced-999999999-1-abcdef@here"
    old.mkdir()
    os.utime(old, (time.time() - 8 * 86_400,) * 2)
    assert list(left_behind(tmp_path)) == []
    (tmp_path / "export").mkdir()
    assert list(left_behind(tmp_path)) == [old]
