"""Where the users come from: users.txt, users.txt.age, or the output of users_command; never two of them.

Whoever needs them asks one `UsersSource`, so that a run for many engines and servers decrypts, or runs the command,
once. It holds the other files of the run as well.
"""

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from dbroster.config.connections import USERS_COMMAND, users_command
from dbroster.errors import ConfigError
from dbroster.files.permissions import mode_problem, owner_problem, writers_problem
from dbroster.files.read import Files, is_utf8
from dbroster.model.problems import Problem
from dbroster.model.roster import AGE_FILE, USERS_FILE


class Users(NamedTuple):
    """The plain text of the roster, or the problems for which it can't be used.

    `name` is what its lines are counted in, `stored` what the file holds (encrypted or not). `missing` says that
    there is no roster at all, which is for the guard to judge. `unread`: why the roster of a checkout was left alone.
    """

    name: str = USERS_FILE
    data: bytes = b""
    stored: bytes = b""
    problems: tuple[Problem, ...] = ()
    missing: Problem | None = None
    unread: str = ""

    def __repr__(self) -> str:
        return f"Users({self.name!r})"  # and nothing of what they hold


class UsersSource:
    """The users of one config directory, read by whoever comes first; `identity` opens users.txt.age.

    `files` are the files of the same reading. If not `strict`, the roster may be anybody's: who edits it changes no
    server.
    """

    def __init__(
        self, files: Files, identity: Path | None = None, *, strict: bool = True, reading: "Lock | None" = None
    ) -> None:
        self.files, self.identity, self.strict = files, identity, strict
        self.begun = False
        self._reading, self._asking = reading or Lock(), Lock()
        self._next: UsersSource | None = None

    @property
    def users(self) -> Users:
        """What was read; what is wrong stands in the answer, so that it is found out once, too."""
        if "_once" in self.__dict__:
            return self._once
        with self._reading:  # each server has a thread of its own
            self.begun = True
            return self._once

    def anew(self) -> "UsersSource":
        """Return a source that is read from now on, files and all; who asks before that begins gets the same one.

        They are read one after the other, so that all who wait for a program to end share its next run. For that, ask
        for `users` first, and for the files when they are there.
        """
        with self._asking:
            if self._next is None or self._next.begun:
                self._next = UsersSource(
                    Files(self.files.directory), self.identity, strict=self.strict, reading=self._reading
                )
            return self._next

    @cached_property
    def _once(self) -> Users:
        try:
            return self._read()
        except ConfigError as error:
            return Users(problems=error.problems)

    def usable(self) -> Users:
        """Return the users for who can't go on without them. Raises ConfigError when they can't be used."""
        problems = [*self.users.problems, *([self.users.missing] if self.users.missing else ())]
        if problems:
            raise ConfigError(problems)
        return self.users

    def _read(self) -> Users:
        command = users_command(self.files)
        there = list(self._there())
        if len(there) + bool(command) > 1:
            names = " and ".join([*there, *([USERS_COMMAND] if command else ())])
            raise ConfigError([Problem(f"{names} are both there: which one is the truth? Remove the other one")])
        if command and self.files.checkout:
            return Users(USERS_COMMAND, unread="not run")
        if command:
            from dbroster.roster.command import output_of

            return Users(USERS_COMMAND, output_of(command, self.files.directory))
        return self._encrypted() if there == [AGE_FILE] else self._plain()

    def _there(self) -> Iterator[str]:
        for name in (USERS_FILE, AGE_FILE):
            if os.path.lexists(self.files.directory / name):  # a link that leads nowhere is there, too
                yield name

    def _plain(self) -> Users:
        path = self.files.directory / USERS_FILE
        content = self.files.read(USERS_FILE)
        if content.missing and self.files.checkout:
            return Users(unread="not here")
        if content.missing:
            return Users(missing=content.problem)
        problem = content.problem or mode_problem(path, content.mode) or self._owner_problem(path, content.owner)
        return Users(data=content.data, stored=content.data, problems=(problem,) if problem else ())

    def _owner_problem(self, path: Path, owner: int) -> Problem | None:
        return owner_problem(path, owner) if self.strict else None

    def _encrypted(self) -> Users:
        from dbroster.roster.age import IDENTITY_VARIABLE, Identities

        path = self.files.directory / AGE_FILE
        content = self.files.read(AGE_FILE)
        problem = content.problem or writers_problem(path, content.mode, "says who has an account")
        problem = problem or self._owner_problem(path, content.owner)
        if problem:
            raise ConfigError([problem])
        if self.files.checkout and not (self.identity or os.environ.get(IDENTITY_VARIABLE)):
            return Users(AGE_FILE, stored=content.data, unread="not opened, since no identity is named")
        data = Identities.find(self.identity).decrypt(content.data, path)
        if not is_utf8(data):
            raise ConfigError([Problem(f"what {path} holds is not UTF-8", path.name)])
        return Users(AGE_FILE, data, content.data)
