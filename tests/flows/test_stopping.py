"""Ctrl-C, SIGTERM and SIGHUP end a command in one line, wherever they fall and whatever a library makes of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from flows.terminal.stopping import LINE

pytestmark = pytest.mark.usefixtures("hangup_is_heard")

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
# A second is asked for; a machine that does much else may take longer.
SOON_S = 10.0

COMMAND = """
import sys, types
from flows import __main__
stub = types.ModuleType("flows.cli.app")
exec(sys.argv[1], stub.__dict__)
sys.modules["flows.cli.app"] = stub
__main__.main()
"""
WHAT_IT_DOES = {
    "waits": "import time\ndef app(): print('now', flush=True); time.sleep(60)",
    "ends itself": "import sys, time\ndef app():\n try: print('now', flush=True); time.sleep(60)\n"
    " except KeyboardInterrupt: sys.exit(1)",
    "makes another error of it": "import time\ndef app():\n try: print('now', flush=True); time.sleep(60)\n"
    " except KeyboardInterrupt: raise RuntimeError('Query interrupted')",
    "swallows it": "import time\ndef app():\n print('now', flush=True)\n while True:\n"
    "  try: time.sleep(60)\n  except BaseException: pass",
    "swallows it and ends well": "import time\ndef app():\n try: print('now', flush=True); time.sleep(60)\n"
    " except KeyboardInterrupt: pass",
    "never looks": "import hashlib\ndef app():\n print('now', flush=True)\n"
    " hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)",
    "is in a callback": "import time\nclass Open:\n def __del__(self): print('now', flush=True); time.sleep(60)\n"
    "def app(): Open(); time.sleep(60)",
    "evaluates text": "import time\ndef app(): print('now', flush=True); eval('time.sleep(60)')",
    "runs a loop": "import asyncio\nasync def wait(): print('now', flush=True); await asyncio.sleep(60)\n"
    "def app(): asyncio.run(wait())",
    "leaves a thread": "import threading, time\ndef app():\n threading.Thread(target=time.sleep, args=[60]).start()\n"
    " print('now', flush=True); time.sleep(60)",
    "takes long to take apart": "import builtins, time\nclass Slow:\n def __del__(self, wait=time.sleep): wait(60)\n"
    "builtins.slow = Slow()\ndef app(): print('now', flush=True); time.sleep(60)",
    "is about to end": "import atexit, time\n@atexit.register\ndef late(): print('now', flush=True); time.sleep(60)\n"
    "def app(): pass",
}


def started(*command: str, folder: Path | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder
    )


def ended(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """It ends soon, in the one line, with the status of the signal."""
    try:
        _, said = process.communicate(timeout=SOON_S)
    finally:
        process.kill()
    assert said == f"odds: {LINE}\n"
    assert process.returncode == 128 + number


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS)
def test_whatever_the_code_does_that_a_signal_meets(number: signal.Signals) -> None:
    with ExitStack() as running:
        processes = {what: running.enter_context(started("-c", COMMAND, code)) for what, code in WHAT_IT_DOES.items()}
        for process in processes.values():
            assert process.stdout is not None
            assert process.stdout.readline() == "now\n"
            process.send_signal(number)
        for process in processes.values():
            ended(process, number)


LAST_WORDS = """
import time
from flows.terminal.stopping import last_words
def app():
    with last_words(lambda: 'what it cost'):
        print('now', flush=True)
        while %s:
            try: time.sleep(60)
            except BaseException: pass
    while True:
        try: time.sleep(60)
        except BaseException: pass
"""


@pytest.mark.parametrize(("during", "printed"), [("True", "what it cost\n"), ("False", "")])
def test_the_last_words_of_a_block_are_printed_if_closing_takes_too_long(during: str, printed: str) -> None:
    with started("-c", COMMAND, LAST_WORDS % during) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=SOON_S)
        assert said == printed
        assert process.returncode == 143


def test_a_second_signal_ends_at_once() -> None:
    with started("-c", COMMAND, WHAT_IT_DOES["swallows it"]) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        ended(process, signal.SIGINT)
        assert time.monotonic() - began < 1.0


def test_a_closed_terminal_does_not_end_a_command_under_nohup() -> None:
    code = "import time\ndef app(): print('now', flush=True); time.sleep(1); print('done')"
    with started("-c", f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n{COMMAND}", code) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        assert process.communicate(timeout=SOON_S) == ("done\n", "")
        assert process.returncode == 0


def listens(process: subprocess.Popen[str]) -> bool:
    """Whether the process catches SIGTERM by now."""
    if process.poll() is not None:
        return True
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("after_s", [0.0, 0.15, 0.4, 0.8, 2.5])
def test_a_real_command_at_any_moment_from_its_first_import_on(
    tmp_path: Path, sqlite_template: Path, number: signal.Signals, after_s: float
) -> None:
    data = sqlite_template.parent / "data"
    (tmp_path / "odds.toml").write_text(f'[warehouse]\ncatalog = "{sqlite_template}"\ndata_path = "{data}"\n')
    endless = "SELECT count(*) AS n FROM range(1000000000) a, range(1000000000) b"
    with started("-m", "flows", "sql", endless, folder=tmp_path) as process:
        while not listens(process):
            time.sleep(0.005)
        time.sleep(after_s)
        os.kill(process.pid, number)
        ended(process, number)
