"""users_command: a program whose output is the roster (`sops -d users.enc`), run without a shell and never trusted.

It gets nothing to read, a bounded time, and may print a bounded amount. What it prints is the roster and lands in no
message. What it says on stderr helps to find out why it failed, so it is shown: shortened, and without everything
that could be a part of the roster.
"""

import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from dbroster.config.connections import USERS_COMMAND
from dbroster.errors import ConfigError
from dbroster.files.read import MAX_BYTES, is_utf8
from dbroster.model.problems import Problem
from dbroster.passwords.secret import HIDDEN

SECONDS = 60.0
_running: "set[subprocess.Popen[bytes]]" = set()
_PIECE = 65536
_SAID_BYTES = 400
_LIKE_A_USER = re.compile(r"\S*[A-Za-z0-9._-]\s*:\S.*")
_AROUND = "'\"`.,;:()[]{}<>"


def output_of(command: Sequence[str], directory: Path, seconds: float = SECONDS) -> bytes:
    """Run the command in the directory and return what it prints. Raises ConfigError when it fails in any way."""
    try:
        # a session of its own: it can't ask a person through the terminal, and can be ended with all that it started
        process = subprocess.Popen(
            list(command), cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not the name of a program"
        raise _failure(f"the program {command[0]} can't be started: {reason}") from None
    output = _Output()
    _running.add(process)
    try:
        problem = output.read(process, time.monotonic() + seconds, seconds) or _exit_problem(process)
    finally:
        _running.discard(process)
        _end(process)
    if problem:
        raise _failure(problem + output.said())
    data = bytes(output.printed)
    if not data.strip():
        raise _failure("it printed nothing")
    if not is_utf8(data):
        raise _failure("what it printed is not UTF-8")
    return data


def break_off() -> None:
    """End every program that runs, from another thread: the run is to end."""
    for process in list(_running):
        _kill(process)


@dataclass
class _Output:
    """What the command prints, and the beginning of what it says on stderr."""

    printed: bytearray = field(default_factory=bytearray, repr=False)
    error: bytearray = field(default_factory=bytearray, repr=False)
    cut: bool = False

    def read(self, process: "subprocess.Popen[bytes]", end: float, seconds: float) -> str | None:
        """Read to the end of both streams; returns what goes beyond the limits."""
        with selectors.DefaultSelector() as selector:
            for stream, take in ((process.stdout, self._print), (process.stderr, self._say)):
                if stream:
                    selector.register(stream, selectors.EVENT_READ, take)
            while selector.get_map():
                ready = selector.select(max(end - time.monotonic(), 0))
                if not ready:
                    return f"it was not done after {seconds:g} seconds, and was ended"
                for key, _ in ready:
                    piece = os.read(key.fd, _PIECE)
                    if not piece:
                        selector.unregister(key.fileobj)
                    key.data(piece)
                if len(self.printed) > MAX_BYTES:
                    return f"it printed more than the {MAX_BYTES} bytes that a roster can need, and was ended"
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(end - time.monotonic(), 0))
            return None
        return f"it was not done after {seconds:g} seconds, and was ended"

    def _print(self, piece: bytes) -> None:
        self.printed += piece

    def _say(self, piece: bytes) -> None:
        room = _SAID_BYTES - len(self.error)
        self.cut = self.cut or len(piece) > room
        self.error += piece[: max(room, 0)]

    def said(self) -> str:
        """Return the beginning of its stderr, with a mask for whatever could be a part of the roster."""
        text = self.error.decode("utf-8", "replace")
        if self.cut:  # half a word could be half a password, too short to be known
            text = text.rpartition(" ")[0]
        words = [self._shown(word) for line in text.splitlines() for word in _LIKE_A_USER.sub(HIDDEN, line).split()]
        return f"; it said: {' '.join(words)}{' ...' * self.cut}" if words else ""

    def _shown(self, word: str) -> str:
        """A password has three kinds of characters where the usual rules hold, and words of messages have two."""
        core = word.strip(_AROUND)
        kinds = (str.islower, str.isupper, str.isdigit, lambda c: not c.isalnum())
        mixed = sum(any(is_kind(c) for c in core) for is_kind in kinds) > 2
        known = len(core) > 2 and core.encode() in self.printed
        return HIDDEN if mixed or known else word


def _exit_problem(process: "subprocess.Popen[bytes]") -> str | None:
    code = process.returncode
    if code < 0:
        return f"it was ended by {signal.Signals(-code).name}"
    return f"it failed with exit code {code}" if code else None


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End what still runs, with everything that it started, and leave no pipe open."""
    if process.returncode is None:  # not asked for since, so that the number is still its own
        _kill(process)
        process.wait()
    for stream in (process.stdout, process.stderr):
        if stream:
            stream.close()


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _failure(text: str) -> ConfigError:
    return ConfigError([Problem(f"{USERS_COMMAND} in connections.yaml: {text}; nothing was done")])
