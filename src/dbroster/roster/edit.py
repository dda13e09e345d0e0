"""`dbroster edit`: change the roster, encrypted or not, with an editor, and keep only what a sync would take."""

import os
import shlex
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from dbroster.config.connections import USERS_COMMAND, find_connections
from dbroster.engines import ENGINES
from dbroster.errors import ConfigError
from dbroster.files.lines import ends_whole
from dbroster.files.read import MAX_SETTINGS, Files, read_file
from dbroster.files.write import replace_file
from dbroster.model.problems import Problem
from dbroster.model.roster import AGE_FILE, USERS_FILE
from dbroster.roster.age import RECIPIENTS_FILE, Identities, Recipients, is_armored
from dbroster.roster.interrupts import Interrupts
from dbroster.roster.parse import parse_templates, parse_users
from dbroster.roster.scratch import private_file
from dbroster.roster.source import Users, UsersSource
from dbroster.roster.validation import validate

Again = Callable[[Sequence[Problem]], None]
"""Shows problems, and returns when a person wants to edit again. Raises ConfigError otherwise."""


def edit(directory: Path, identity: Path | None, again: Again, interrupts: Interrupts) -> str:
    """Let the user's editor change the roster; returns what became of it.

    Raises ConfigError when the roster can't be read, edited or written; it is as it was before then.
    """
    users = UsersSource(Files(directory), identity, strict=False).usable()
    if users.name == USERS_COMMAND:
        raise ConfigError([Problem(f"the roster is what {USERS_COMMAND} prints: edit it with the tool it belongs to")])
    save = _encrypted(directory, identity, users) if users.name == AGE_FILE else _plain(directory, users)
    with private_file(USERS_FILE, users.data) as file:
        edited = _edited(directory, file, users, again, interrupts)
        if edited == users.data:
            return "nothing was changed"
        whole = _ended(edited)
        save(whole)
    added = "; dbroster added the line end that its last line lacked" if whole != edited else ""
    return f"{users.name} was written{added}"


def judge(directory: Path, data: bytes, name: str) -> list[Problem]:
    """Return every problem that a sync would find in the roster, by the rules of all servers of all engines."""
    roster, files = parse_users(data, name, directory), Files(directory)
    problems = [*roster.problems]
    for engine in ENGINES:
        templates, _ = parse_templates(files.read(f"{engine}_databases.txt", MAX_SETTINGS).data, engine)
        for connection in find_connections(files, engine)[0]:
            problems += validate(roster._replace(templates=templates), connection).problems
    return [problem for problem in dict.fromkeys(problems) if not problem.warning]


def _encrypted(directory: Path, identity: Path | None, users: Users) -> Callable[[bytes], None]:
    path = (directory / AGE_FILE).resolve()
    recipients = _recipients(directory)
    identities = Identities.find(identity)

    def save(data: bytes) -> None:
        encrypted = recipients.encrypt(data, armored=is_armored(users.stored))
        if identities.decrypt(encrypted, path) != data:
            raise ConfigError([Problem(f"{path} could not be written: what was encrypted is not what comes back")])
        replace_file(path, users.stored, encrypted)

    return save


def _recipients(directory: Path) -> Recipients:
    path = directory / RECIPIENTS_FILE
    if not path.exists():
        text = f"{path} does not exist: write the public keys for {AGE_FILE} into it, one per line"
        raise ConfigError([Problem(text, RECIPIENTS_FILE)])
    return Recipients.read(path)


def _plain(directory: Path, users: Users) -> Callable[[bytes], None]:
    return lambda data: replace_file((directory / USERS_FILE).resolve(), users.stored, data)


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
