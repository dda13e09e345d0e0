"""What a run that changes nothing imports: most of its time is that."""

import subprocess
import sys

PROGRAM = """
import sys
import dbroster.cli.main, dbroster.cli.verbs.servers.sync, dbroster.engines.mysql.mariadb
print(*sys.modules)
"""
SLOW = {"dataclasses", "inspect", "logging", "concurrent.futures", "asyncio", "shutil", "dbroster.run.apply"}


def test_a_run_without_changes_imports_nothing_slow() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "dbroster.run.sync" in loaded
    assert not loaded & SLOW
