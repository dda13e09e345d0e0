"""Signals are remembered while files are written and wiped, and break off only where a person is waited for."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dbroster.errors import ConfigError
from dbroster.roster.editing.interrupts import Interrupts
from tests.support.samples import PASSWORD, config
from tests.support.vault import holding


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_is_kept_until_a_person_is_waited_for(number: int) -> None:
    done = []
    with Interrupts() as interrupts:
        send(number)
        done.append("this is not cut short")
        with pytest.raises(ConfigError, match=f"{signal.Signals(number).name}: broken off"), interrupts.waiting():
            done.append("never")
    assert done == ["this is not cut short"]


def test_a_signal_breaks_off_the_waiting_and_a_second_one_not_the_clean_up() -> None:
    done: list[str] = []

    def wait() -> None:
        with interrupts.waiting():
            try:
                send(signal.SIGTERM)
                done.append("never")
            finally:
                send(signal.SIGTERM)
                done.append("wiped")

    with Interrupts() as interrupts, pytest.raises(ConfigError, match="SIGTERM: broken off"):
        wait()
    assert done == ["wiped"]


def test_keys_that_are_for_the_editor_break_nothing_off() -> None:
    with Interrupts() as interrupts:
        with interrupts.keys_elsewhere(), interrupts.waiting():
            send(signal.SIGINT)
            send(signal.SIGQUIT)
        with pytest.raises(ConfigError, match="SIGINT"), interrupts.waiting():
            send(signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_at_the_question_wipes_the_plain_text(tmp_path: Path, number: signal.Signals) -> None:
    """At a terminal, after a change that no sync would take."""
    site, memory = tmp_path / "config", tmp_path / "memory"
    site.mkdir()
    memory.mkdir(mode=0o700)
    config(site, f"ann:{PASSWORD}\n")
    given = {**os.environ, "XDG_RUNTIME_DIR": str(memory), "EDITOR": "sed -i '$ a broken'", "VISUAL": ""}
    master, terminal = pty.openpty()
    command = [sys.executable, "-m", "dbroster", "edit", "--config", str(site)]
    with subprocess.Popen(command, stdin=terminal, stderr=subprocess.PIPE, env=given) as process:
        os.close(terminal)
        said = b""
        while b"give up" not in said:
            assert process.stderr
            piece = os.read(process.stderr.fileno(), 1000)
            assert piece, f"it ended without asking: {said.decode()}"
            said += piece
        assert len(holding(PASSWORD, memory)) == 1
        process.send_signal(number)
        _, rest = process.communicate(timeout=60)
    os.close(master)
    assert process.returncode == 2
    assert f"{number.name}: broken off, nothing was changed".encode() in rest
    assert list(memory.iterdir()) == []
    assert (site / "users.txt").read_text() == f"ann:{PASSWORD}\n"
