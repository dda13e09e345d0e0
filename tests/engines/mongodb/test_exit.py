"""The driver's background threads must not hold up the end of a run."""

import subprocess
import sys
import time
from pathlib import Path

from tests.engines.mongodb.conftest import Site

SCRIPT = """
import sys
from dbroster.model.connection import Connection, Tls
from dbroster.engines import connect
from dbroster.passwords.secret import Secret

host, port, user, ca = sys.argv[1:]
password = Secret(sys.stdin.readline())
connection = Connection("mongodb", "default", host, int(port), user, password, tls=Tls("verify-full", ca))
with connect(connection) as handler:
    handler.get_existing_users()
print("done", flush=True)
"""
SOURCE = Path(__file__).parents[3] / "src"


def seconds_to_end(site: Site) -> float:
    server = site.server
    command = [sys.executable, "-c", SCRIPT, server.host, str(server.port), server.admin_user, str(server.ca)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env={"PYTHONPATH": str(SOURCE)}, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(server.admin_password)
        process.stdin.close()
        assert process.stdout.readline() == "done\n"
        began = time.perf_counter()
        assert process.wait(60) == 0
        return time.perf_counter() - began


def test_a_process_ends_at_once(site: Site) -> None:
    """The driver's threads sleep half a second at a time, and it waits for them; the best of some tries tells."""
    assert any(seconds_to_end(site) < 0.3 for _ in range(20))
