from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from annotation.studio import credentials, server
from annotation.studio.process import identity
from tests.fixtures.studio import StudioServer
from warehouse.errors import InputError, ServiceError


def executable(path: Path, script: str) -> Path:
    path.write_text(script)
    path.chmod(0o755)
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def title_of(project_id: int, url: str, token: str) -> str:
    reply = httpx.get(f"{url}/api/projects/{project_id}/", headers={"Authorization": f"Token {token}"})
    return str(reply.raise_for_status().json()["title"])


def test_a_restart_keeps_data_url_and_token_and_two_starters_share_one_server(studio_server: StudioServer) -> None:
    url, _, _, token, home, command = studio_server
    made = httpx.post(
        f"{url}/api/projects/", headers={"Authorization": f"Token {token}"}, json={"title": "kept over a restart"}
    )
    before = server.running(home)
    assert before is not None
    assert server.start(home, command) == before
    try:
        assert server.stop(home)
        assert server.running(home) is None
        assert not server.stop(home)
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{url}/health")
    finally:  # the other tests of the session need it again
        with ThreadPoolExecutor(2) as starters:
            first, second = starters.map(lambda _: server.start(home, command), range(2))
    assert first == second == server.running(home)
    assert (first.url, first.token) == (url, token)
    assert first.pid != before.pid
    assert title_of(made.json()["id"], first.url, first.token) == "kept over a restart"


def test_the_secrets_lie_in_one_private_file_only(studio_server: StudioServer) -> None:
    address = server.running(studio_server.home)
    assert address is not None
    assert stat.S_IMODE(address.credentials.stat().st_mode) == 0o600
    assert stat.S_IMODE(address.credentials.parent.stat().st_mode) == 0o700
    assert len(studio_server.token) == 40
    for secret in (studio_server.token, studio_server.password):
        assert secret not in (studio_server.home / "label-studio" / "server.log").read_text()
        assert secret not in repr(address)
        assert secret not in repr(credentials.read(address.credentials))


def test_each_installation_has_secrets_of_its_own(studio_server: StudioServer, tmp_path: Path) -> None:
    with pytest.raises(ServiceError):
        server.start(tmp_path, Path("/bin/false"))
    other = credentials.read(tmp_path / "label-studio" / "credentials.json")
    assert other.token.get_secret_value() != studio_server.token
    assert other.password.get_secret_value() != studio_server.password


def test_nobody_signs_up_without_the_link(studio_server: StudioServer) -> None:
    with httpx.Client(base_url=studio_server.url) as browser:
        browser.get("/user/signup/")
        form = {"email": "intruder@example.org", "password": "long-enough-password", "allow_newsletters": "false"}
        reply = browser.post("/user/signup/", data=form | {"csrfmiddlewaretoken": browser.cookies["csrftoken"]})
        assert reply.status_code == 403
        assert browser.get("/api/current-user/whoami").status_code == 401


def test_a_command_that_fails_is_reported_with_its_log(tmp_path: Path) -> None:
    command = executable(tmp_path / "failing", "#!/bin/sh\necho broken >&2\nexit 3\n")
    with pytest.raises(ServiceError, match=r"status 3.*server\.log"):
        server.start(tmp_path, command)
    assert (tmp_path / "label-studio" / "server.log").read_text() == "broken\n"
    assert server.running(tmp_path) is None


def test_a_command_that_never_answers_is_ended(tmp_path: Path) -> None:
    command = executable(tmp_path / "silent", "#!/bin/sh\nexec sleep 300\n")
    with pytest.raises(ServiceError, match=r"within 1 s.*server\.log"):
        server.start(tmp_path, command, timeout_s=1)
    assert server.running(tmp_path) is None
    pid = json.loads((tmp_path / "label-studio" / "server.json").read_text())["pid"]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_stub_of_another_server_on_our_port_is_not_taken_for_ours(tmp_path: Path) -> None:
    script = (
        f"#!{shlex.quote(sys.executable)}\n"
        "import http.server, sys\n"
        "class Stub(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200); self.end_headers(); self.wfile.write(b'{}')\n"
        "http.server.HTTPServer(('127.0.0.1', int(sys.argv[-1])), Stub).serve_forever()\n"
    )
    with pytest.raises(ServiceError, match="another server answers"):
        server.start(tmp_path, executable(tmp_path / "stub", script))
    assert server.running(tmp_path) is None


def test_a_server_whose_starter_is_gone_is_waited_for(tmp_path: Path) -> None:
    port = free_port()
    script = (
        "import http.server, time\n"
        "class Stub(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200); self.end_headers(); self.wfile.write(b'{}')\n"
        f"time.sleep(1); http.server.HTTPServer(('127.0.0.1', {port}), Stub).serve_forever()\n"
    )
    folder = tmp_path / "label-studio"
    folder.mkdir()
    with subprocess.Popen([sys.executable, "-c", script], start_new_session=True, stderr=subprocess.DEVNULL) as stub:
        try:
            state = {"pid": stub.pid, "started": identity(stub.pid), "port": port}
            (folder / "server.json").write_text(json.dumps(state))
            address = server.start(tmp_path, Path("/bin/false"))
            assert httpx.get(f"{address.url}/health", trust_env=False).status_code == 200
            assert address.pid == stub.pid
        finally:
            stub.kill()


def test_a_new_server_begins_with_the_prepared_database_and_an_old_one_keeps_its_own(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "empty").mkdir()
    command = executable(tmp_path / "bin" / "label-studio", "#!/bin/sh\nexit 3\n")
    (tmp_path / "empty" / "label_studio.sqlite3").write_text("prepared")
    database = tmp_path / "home" / "label-studio" / "label_studio.sqlite3"
    database.parent.mkdir(parents=True)
    log = database.with_name(f"{database.name}-wal")
    log.write_text("of a database that somebody removed")
    for content in ("prepared", "mine"):
        with pytest.raises(ServiceError):
            server.start(tmp_path / "home", command)
        assert database.read_text() == content
        assert not log.exists()
        database.write_text("mine")


def test_a_server_that_was_stopped_leaves_its_database_in_one_file(tmp_path: Path) -> None:
    database = tmp_path / "label-studio" / "label_studio.sqlite3"
    database.parent.mkdir()
    write = f"""
import sqlite3, time
c = sqlite3.connect({str(database)!r})
c.executescript("PRAGMA journal_mode = WAL; CREATE TABLE project (id); INSERT INTO project VALUES (7)")
print("written", flush=True)
time.sleep(300)
"""
    with subprocess.Popen([sys.executable, "-c", write], stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"written\n"
            state = {"pid": process.pid, "started": identity(process.pid), "port": free_port()}
            (database.parent / "server.json").write_text(json.dumps(state))
            assert server.stop(tmp_path)
        finally:
            process.kill()
    alone = shutil.copy(database, tmp_path / "copy.sqlite3")
    assert [each.name for each in database.parent.glob(f"{database.name}*")] == [database.name]
    with closing(sqlite3.connect(alone)) as connection:
        assert connection.execute("SELECT id FROM project").fetchall() == [(7,)]


def test_the_database_of_a_server_writes_ahead(tmp_path: Path) -> None:
    database = tmp_path / "label-studio" / "label_studio.sqlite3"
    database.parent.mkdir()
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE project (id)")
    with pytest.raises(ServiceError):
        server.start(tmp_path, executable(tmp_path / "label-studio.sh", "#!/bin/sh\nexit 3\n"))
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_process_that_got_our_old_pid_is_neither_found_nor_stopped(tmp_path: Path) -> None:
    folder = tmp_path / "label-studio"
    folder.mkdir()
    with subprocess.Popen(["sleep", "300"], start_new_session=True) as foreign:
        try:
            state = {"pid": foreign.pid, "started": "an earlier boot:1", "port": free_port()}
            (folder / "server.json").write_text(json.dumps(state))
            assert server.running(tmp_path) is None
            assert not server.stop(tmp_path)
            assert foreign.poll() is None
        finally:
            foreign.kill()


def test_a_port_in_use_or_out_of_range_is_refused(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match="in use"):
            server.start(tmp_path, Path("/bin/false"), port=taken.getsockname()[1])
    with pytest.raises(InputError, match="1 to 65535"):
        server.start(tmp_path, Path("/bin/false"), port=70000)


def test_the_command_is_the_named_one_or_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def install(folder: Path) -> Path:
        folder.mkdir(parents=True)
        return executable(folder / "label-studio", "#!/bin/sh\n")

    named, variable = install(tmp_path / "named"), install(tmp_path / "variable")
    beside, on_path = install(tmp_path / "here/.venv-label-studio/bin"), install(tmp_path / "path")
    monkeypatch.setenv("ODDS_LABEL_STUDIO", str(variable))
    monkeypatch.setenv("PATH", str(on_path.parent))
    monkeypatch.chdir(tmp_path / "here")
    assert server.find_command(named) == named
    assert server.find_command() == variable
    monkeypatch.delenv("ODDS_LABEL_STUDIO")
    assert server.find_command() == beside
    beside.unlink()
    if not (Path(server.__file__).parents[2] / ".venv-label-studio").exists():
        assert server.find_command() == on_path
        on_path.unlink()
        with pytest.raises(InputError, match="make setup"):
            server.find_command()
    with pytest.raises(InputError, match="not an executable file"):
        server.find_command(tmp_path / "missing")


def test_missing_or_damaged_credentials_are_said_so_without_showing_them(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    with pytest.raises(InputError, match="never started"):
        credentials.read(path)
    path.write_text('{"username": "u", "token": "very-secret"}')
    with pytest.raises(InputError, match="corrupt") as caught:
        credentials.read(path)
    assert "very-secret" not in str(caught.value)
    assert caught.value.__suppress_context__
