"""`dbroster edit`: change the roster, encrypted or not, with an editor, and keep only what a sync would take."""

import os
import shlex
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from dbroster.errors import ChangedMeanwhile, ConfigError
from dbroster.files.lines import ends_whole
from dbroster.files.read import read_file
from dbroster.model.problems import Problem
from dbroster.model.roster import USERS_FILE
from dbroster.roster.editing.interrupts import Interrupts
from dbroster.roster.editing.judge import judge
from dbroster.roster.editing.merge import merged
from dbroster.roster.editing.saving import changeable
from dbroster.roster.editing.scratch import private_file
from dbroster.roster.parse import user_lines
from dbroster.roster.source import Users

Again = Callable[[Sequence[Problem]], None]
"""Shows problems, and returns when a person wants to edit again. Raises ConfigError otherwise."""


def edit(directory: Path, identity: Path | None, again: Again, interrupts: Interrupts) -> str:
    """Let the user's editor change the roster; returns what became of it.

    Raises ConfigError when the roster can't be read, edited or written; it is as it was before then.
    """
    users, save = changeable(directory, identity)
    kept = ""
    with private_file(USERS_FILE, users.data) as file:
        edited = _edited(directory, file, users, again, interrupts)
        while edited != users.data:
            whole = _ended(edited)
            try:
                save(whole)
            except ChangedMeanwhile as error:
                theirs, save = changeable(directory, identity)
                edited = _with_theirs(directory, file, (users, whole, theirs), again, interrupts, error)
                users, kept = theirs, "; what somebody else has changed in it meanwhile was kept"
                continue
            added = "; dbroster added the line end that its last line lacked" if whole != edited else ""
            return f"{users.name} was written{added}{kept}"
    return "nothing was changed"


def _with_theirs(
    directory: Path,
    file: Path,
    texts: tuple[Users, bytes, Users],
    again: Again,
    interrupts: Interrupts,
    error: ChangedMeanwhile,
) -> bytes:
    """Return what a person has edited with what somebody else has written meanwhile; to be edited again if need be.

    Raises the error where what they have written may not be whole.
    """
    before, mine, theirs = texts
    if not ends_whole(theirs.data):
        raise error
    both = merged(before.data, mine, theirs.data)
    file.write_bytes(both.data)
    names = {line.number: line.name for line in user_lines(before.data, before.name, directory)}
    text = "both you and somebody else have changed or removed this line meanwhile; it is as you wrote it"
    disputed = [Problem(text, before.name, number, names.get(number)) for number in both.disputed]
    problems = [*disputed, *judge(directory, both.data, theirs.name)]
    if not problems:
        return both.data
    again(problems)
    return _edited(directory, file, theirs, again, interrupts)


def _edited(directory: Path, file: Path, users: Users, again: Again, interrupts: Interrupts) -> bytes:
    """Edit until nothing is wrong, or nothing is changed."""
    while True:
        _run_editor(file, interrupts)
        content = read_file(file)
        if content.problem:
            raise ConfigError([Problem(f"the edited file can't be used, nothing was changed: {content.problem.text}")])
        changed = content.data != users.data
        problems = judge(directory, _ended(content.data), users.name) if changed else []
        if not problems:
            return content.data
        again(problems)


def _ended(data: bytes) -> bytes:
    """End the last line of what a person has looked at; some editors leave that out."""
    return data if ends_whole(data) else data + b"\n"


def _run_editor(file: Path, interrupts: Interrupts) -> None:
    command = _editor()
    with interrupts.keys_elsewhere():
        process = _start([*command, str(file)], file.parent)  # not broken off: nobody would know of the editor then
        try:
            with interrupts.waiting():
                code = _wait(process)
        finally:
            _end(process)
    if code:
        how = f"exit code {code}" if code > 0 else f"signal {-code}"
        raise ConfigError([Problem(f"the editor {command[0]} ended with {how}; nothing was changed")])


def _start(command: list[str], directory: Path) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(command, cwd=directory)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not the name of a program"
        text = f"the editor {command[0]} can't be started: {reason}; set VISUAL or EDITOR"
        raise ConfigError([Problem(text)]) from None


def _editor() -> list[str]:
    """Return the editor and its arguments, as git finds it."""
    text = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with suppress(ValueError):
        command = shlex.split(text)
        if command:
            return command
    raise ConfigError([Problem("VISUAL or EDITOR can't be split into a program and its arguments")])


def _wait(process: "subprocess.Popen[bytes]") -> int:
    """Wait in short turns: a signal that comes just before one long wait would only be noticed after it."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(0.5)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Take the editor away before its file goes."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
