"""What is forked (`tests/support/warm.py`) is a run like one in a fresh Python."""

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.site import ROOT
from tests.support import warm
from tests.support.waiting import wait_until

Script = Callable[[str], str]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Write a script and return its path."""

    def write(text: str) -> str:
        path = tmp_path / f"script{len(list(tmp_path.iterdir()))}.py"
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.parametrize("program", [[str(ROOT / "scripts" / "mysql_sync.py")], ["-m", "dbroster", "check"]])
def test_it_says_what_a_fresh_one_says(program: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    for fresh in (False, True):
        monkeypatch.setattr(warm, "FRESH", fresh)
        runs.append(warm.run([*program, "--config", str(tmp_path)]))
        runs.append(warm.run([*program, "--no-such-option"]))
    assert runs[:2] == runs[2:]
    assert [code for code, _, _ in runs[:2]] == [2, 2]
    assert "users.txt" in runs[0][1]
    assert "usage" in runs[1][2]


def test_it_has_its_own_arguments_environment_and_directory(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THE_TEST", "1")
    monkeypatch.chdir(tmp_path)
    path = script("import os, sys; print(sys.argv, os.getcwd(), os.environ['OF_THE_TEST'], __name__); sys.exit('bye')")
    assert warm.run([path, "a", "b c"]) == (1, f"{[path, 'a', 'b c']} {tmp_path} 1 __main__\n", "bye\n")


def test_it_has_no_file_open_but_its_output(script: Script) -> None:
    """Or a server, or another run, would wait for it."""
    first = warm.start([script("import time; time.sleep(600)")])
    code, out, _ = warm.run([script("import os; print(os.listdir('/proc/self/fd'))")])
    first.kill()
    assert (code, first.wait()) == (0, -signal.SIGKILL)
    assert len(out.split(",")) == 4, out  # three streams, and the directory that is listed
    first.communicate()


def test_a_signal_reaches_it(script: Script, tmp_path: Path) -> None:
    text = "import pathlib, signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7));"
    process = warm.start([script(f"{text} pathlib.Path({str(tmp_path / 'ready')!r}).touch(); signal.pause()")])
    wait_until((tmp_path / "ready").exists)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.communicate() == ("", "")
    assert process.returncode == 7


def test_what_takes_too_long_is_killed(script: Script, tmp_path: Path) -> None:
    path = script(f"import os, time; print(os.getpid(), file=open({str(tmp_path / 'pid')!r}, 'w')); time.sleep(600)")
    with pytest.raises(subprocess.TimeoutExpired):
        warm.run([path], timeout=2)
    number = (tmp_path / "pid").read_text().strip()
    wait_until(lambda: not Path(f"/proc/{number}").exists())


def test_what_python_reads_when_it_starts_gets_a_fresh_one(script: Script) -> None:
    path = script("import sys; print(sys.flags.utf8_mode)")
    assert warm.run([path])[1] == "0\n"
    assert warm.run([path], {"PYTHONUTF8": "1"})[1] == "1\n"


def test_it_waits_for_its_threads_and_says_good_bye(script: Script) -> None:
    begin = "import atexit, sys, threading, time; atexit.register(print, 'good-bye')"
    path = script(f"{begin}; threading.Thread(target=lambda: (time.sleep(0.3), print('done'))).start(); sys.exit(3)")
    assert warm.run([path]) == (3, "done\ngood-bye\n", "")
