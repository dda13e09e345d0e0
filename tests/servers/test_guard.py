"""Nothing stays behind, however the program that started a server ends."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from servers import MariaDB
from servers.guard import is_alive
from servers.process import is_reachable
from tests.servers.available import available

REPOSITORY = Path(__file__).resolve().parents[2]
STARTER = """
import sys, time, servers
server = servers.MariaDB().start()
print(server.process.pid, server.directory, server.admin("select 1"), flush=True)
time.sleep(float(sys.argv[1]))
"""


def start(seconds: str = "60") -> tuple[subprocess.Popen[str], int, Path]:
    """A program of its own that has started a server; the server's process and directory."""
    available(MariaDB)
    program = subprocess.Popen(
        [sys.executable, "-c", STARTER, seconds], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert program.stdout
    with program.stdout:
        pid, directory, _ = program.stdout.readline().split()
    return program, int(pid), Path(directory)


def becomes_true(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_program_that_is_killed_takes_its_servers_along(number: signal.Signals) -> None:
    program, pid, directory = start()
    assert is_alive(pid)
    program.send_signal(number)
    program.wait()
    assert becomes_true(lambda: not is_alive(pid) and not directory.exists())


def test_a_program_that_forgets_to_close_takes_its_servers_along() -> None:
    program, pid, directory = start("0")
    program.wait()
    assert becomes_true(lambda: not is_alive(pid) and not directory.exists())


def test_the_command_line_starts_prints_and_ends_with_ctrl_c() -> None:
    available(MariaDB)
    command = [sys.executable, "-m", "servers", "start", "mariadb"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout
        printed = ""
        while "Ctrl-C" not in printed:
            printed += program.stdout.readline()
        program.send_signal(signal.SIGINT)
        assert program.wait(30) == 0
    assert "export DBROSTER_TEST_MARIADB=" in printed


def test_servers_start_for_an_ordinary_user_too() -> None:
    available(MariaDB)
    if os.geteuid() != 0:
        pytest.skip("the other tests are run by an ordinary user already")
    python, nobody = "/usr/bin/python3", pwd.getpwnam("nobody")
    code = subprocess.run([python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"], check=False).returncode
    if code != 0 or not is_reachable(REPOSITORY):
        pytest.skip("no Python 3.11, or no checkout, that an ordinary user can reach")
    cache = Path("/tmp") / f"dbr-cache-{os.getpid()}"
    cache.mkdir()
    try:
        os.chown(cache, nobody.pw_uid, nobody.pw_gid)
        done = subprocess.run(
            [python, "-c", STARTER, "0"],
            cwd=REPOSITORY,
            env={"PATH": "/usr/bin:/bin", "DBROSTER_CACHE": str(cache)},
            user=nobody.pw_uid,
            group=nobody.pw_gid,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.endswith(" 1\n"), done.stderr
    finally:
        shutil.rmtree(cache)
