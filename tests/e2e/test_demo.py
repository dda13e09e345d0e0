"""`make demo`: it runs through, its picture in the README is current, and it leaves nothing behind."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from demo.__main__ import Demo
from servers import ENGINES, Server
from tests.e2e.site import ROOT
from tests.servers.available import available

MOST_LINES = 90


def start(temporary: Path, *options: str) -> subprocess.Popen[str]:
    for make in ENGINES.values():
        available(make)
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "demo", *options], cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE
    )


def test_the_demo_runs_through_and_the_picture_of_it_is_current(tmp_path: Path) -> None:
    (temporary := tmp_path / "temporary").mkdir()
    drawn = tmp_path / "demo.svg"
    with start(temporary, "--picture", str(drawn)) as demo:
        told, _ = demo.communicate(timeout=300)
    assert demo.returncode == 0, told
    assert len(told.splitlines()) < MOST_LINES
    assert drawn.read_text() == (ROOT / "docs/demo.svg").read_text(), 'make demo ARGS="--picture docs/demo.svg"'
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_stopped_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    with start(tmp_path) as demo:
        assert demo.stdout
        told = "".join(iter(demo.stdout.readline, "$ dbroster add ann bob carla\n"))
        demo.send_signal(number)
        demo.communicate(timeout=60)
    assert demo.returncode not in (0, -number)
    ports = {int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", told)}
    assert len(ports) == len(ENGINES)
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
    assert list(tmp_path.iterdir()) == []


def test_a_login_that_must_not_succeed_ends_the_demo(postgresql_server: Server, tmp_path: Path) -> None:
    """D6: five errors of logins stood there without a word."""
    server, demo = postgresql_server, Demo(tmp_path, [postgresql_server])
    right, wrong = {server.admin_user: server.admin_password}, {server.admin_user: "wrong"}
    server.admin(f"CREATE DATABASE {server.admin_user}_web")
    try:
        demo.login("the right password", right, works=True)
        demo.login("a wrong password", wrong, works=False)
        with pytest.raises(SystemExit, match="the demo failed"):
            demo.login("the right password", right, works=False)
        with pytest.raises(SystemExit, match="the demo failed"):
            demo.login("a wrong password", wrong, works=True)
    finally:
        server.admin(f"DROP DATABASE {server.admin_user}_web")


def test_the_picture_tells_nothing_of_the_machine_that_drew_it() -> None:
    picture = (ROOT / "docs/demo.svg").read_text()
    assert set(re.findall(r"\b\d{5}\b", picture)) == {"27017"}
    assert not re.search(r"20\d\d-\d\d|/tmp|/dev/shm|/home|/work", picture)
    assert "(docs/demo.svg)" in (ROOT / "README.md").read_text()[:300]
