"""Users who are added, renamed, removed, or get a new password, in a roster that stays otherwise as it was."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from dbroster.errors import ChangedMeanwhile, ConfigError
from dbroster.files.lines import BOM, ends_whole, significant, without_end
from dbroster.model.names import NAME_RULE, did_you_mean, is_name
from dbroster.model.problems import Problem
from dbroster.model.roster import USERS_FILE
from dbroster.passwords.policy import unprintable
from dbroster.passwords.secret import Secret
from dbroster.roster.editing.judge import Server, judge
from dbroster.roster.editing.saving import changeable
from dbroster.roster.parse import RENAMING, UserLine, user_lines
from dbroster.roster.source import Users

_TRIES = 100
"""So often others may be faster; each time one of them has got on, so it is not for ever."""


class Changed(NamedTuple):
    """The file that was changed, and what a sync will find wrong with the other users in it."""

    file: str
    problems: Sequence[Problem]


class Place(NamedTuple):
    """Where the roster is, what opens it, and the servers whose rules it has to meet."""

    directory: Path
    identity: Path | None
    servers: Sequence[Server]


def add(place: Place, passwords: Mapping[str, Secret]) -> Changed:
    """Add users at the end. Raises ConfigError, and nothing was changed then."""
    return _change(place, passwords, partial(_added, place, passwords))


def change_passwords(place: Place, passwords: Mapping[str, Secret]) -> Changed:
    """Give users of the roster new passwords. Raises ConfigError, and nothing was changed then."""
    return _change(place, passwords, partial(_with_passwords, place, passwords))


def remove(place: Place, names: Collection[str]) -> Changed:
    """Take users out. Raises ConfigError, and nothing was changed then."""
    return _change(place, names, partial(_without, place, names))


class Renaming(NamedTuple):
    """A user of the roster who shall be called otherwise; `begun`: the roster says that this is under way."""

    password: Secret
    begun: bool


def renaming(place: Place, old: str, new: str) -> Renaming:
    """Look whether a user may get another name. Raises ConfigError."""
    check_names([old, new])
    users, _ = changeable(place.directory, place.identity)
    line = _to_be_renamed(place, old, new, users)
    _judged(place, [new], users, _with_name(users, line, new))
    return Renaming(Secret(line.password or ""), line.becomes is not None)


def write_name(place: Place, old: str, new: str, *, finished: bool) -> Changed:
    """Write that a user is being renamed, or only the new name. Raises ConfigError, and nothing was changed then."""
    name = new if finished else f"{old}{RENAMING}{new}"
    return _change(place, [old, new], lambda users: _with_name(users, _to_be_renamed(place, old, new, users), name))


def check_names(names: Iterable[str]) -> None:
    """Raise ConfigError for what can't be the name of a user; it is not told, for it may be a password."""
    if not all(map(is_name, names)):
        raise ConfigError([Problem(f"one of the names is no user name ({NAME_RULE}); nothing was changed")])


def _change(place: Place, names: Collection[str], alter: Callable[[Users], bytes]) -> Changed:
    check_names(names)
    for _ in range(_TRIES):
        users, save = changeable(place.directory, place.identity)
        data = alter(users)
        problems = judge(place.directory, data, users.name, place.servers)
        try:
            save(data)
        except ChangedMeanwhile as error:
            faster = error
        else:
            return Changed(users.name, [problem for problem in problems if problem.user not in names])
    raise faster


def _added(place: Place, passwords: Mapping[str, Secret], users: Users) -> bytes:
    if there := {line.name: line.number for line in _lines_of(place, passwords, users)}:
        known = _listed([f"{name} (line {number})" for name, number in there.items()])
        verb = "are" if len(there) > 1 else "is"
        names = " ".join(name for name in there if name)
        text = f"{known} {verb} in {users.name} already; for a new password: dbroster passwd {names}"
        raise ConfigError([Problem(f"{text}; nothing was changed")])
    if not ends_whole(users.data):
        raise ConfigError([Problem(f"{without_end(users.name, place.directory)}; nothing was changed", users.name)])
    end = b"\r\n" if users.data.endswith(b"\r\n") else b"\n"
    data = users.data + b"".join(_line(name, password) + end for name, password in passwords.items())
    return _judged(place, passwords, users, data)


def _with_passwords(place: Place, passwords: Mapping[str, Secret], users: Users) -> bytes:
    bom, lines = _split(users.data)
    for line in _whole_lines_of(place, passwords, users):
        old = lines[line.number - 1]
        before, colon, _ = old.partition(b":")
        new = _line(line.name or "", passwords[line.name or ""]).partition(b":")[2]
        lines[line.number - 1] = before + colon + new + b"\r" * old.endswith(b"\r")
    return _judged(place, passwords, users, bom + b"\n".join(lines))


def _without(place: Place, names: Collection[str], users: Users) -> bytes:
    bom, lines = _split(users.data)
    gone = {line.number for line in _whole_lines_of(place, names, users)}
    return bom + b"\n".join(line for number, line in enumerate(lines, start=1) if number not in gone)


def _to_be_renamed(place: Place, old: str, new: str, users: Users) -> UserLine:
    """Return the line of a user who is there once, where nobody has the new name. Raises ConfigError."""
    every = user_lines(users.data, users.name, place.directory)
    if begun := next((line for line in every if (line.name, line.becomes) == (old, new)), None):
        return begun
    if there := _lines_of(place, [new], users):
        text = f"{new} is in {users.name} already (line {there[0].number}); nothing was changed"
        raise ConfigError([Problem(text)])
    found = _whole_lines_of(place, [old], users)
    if len(found) > 1:
        text = f"{old} is in {users.name} more than once; leave one line with dbroster edit first; nothing was changed"
        raise ConfigError([Problem(text)])
    if found[0].problem:
        text = f"{found[0].problem}; mend it with dbroster edit first; nothing was changed"
        raise ConfigError([Problem(text, users.name, found[0].number, old)])
    return found[0]


def _with_name(users: Users, line: UserLine, name: str) -> bytes:
    bom, lines = _split(users.data)
    before, colon, rest = lines[line.number - 1].partition(b":")
    text = before.decode()
    lines[line.number - 1] = text.replace(text.strip(), name, 1).encode() + colon + rest
    return bom + b"\n".join(lines)


def _split(data: bytes) -> tuple[bytes, list[bytes]]:
    """Return the byte order mark, if there is one, and the lines as they are counted."""
    return BOM * data.startswith(BOM), data.removeprefix(BOM).split(b"\n")


def _lines_of(place: Place, names: Collection[str], users: Users) -> list[UserLine]:
    """Return the lines of users. Raises ConfigError for one who is being renamed."""
    every = user_lines(users.data, users.name, place.directory)
    found = [line for line in every if line.name in names or line.becomes in names]
    if under_way := [line for line in found if line.becomes]:
        text = f"{under_way[0].problem}; nothing was changed"
        raise ConfigError([Problem(text, users.name, under_way[0].number)])
    return found


def _whole_lines_of(place: Place, names: Collection[str], users: Users) -> list[UserLine]:
    """Return the lines of the users, who must all be there. Raises ConfigError, also for a line that may be two."""
    found = _lines_of(place, names, users)
    if missing := [name for name in names if name not in {line.name for line in found}]:
        known = [line.name for line in user_lines(users.data, users.name, place.directory) if line.name]
        verb = "are" if len(missing) > 1 else "is"
        hint = did_you_mean(missing[0], known) if len(missing) == 1 else ""
        raise ConfigError([Problem(f"{_listed(missing)} {verb} not in {users.name}{hint}; nothing was changed")])
    if doubtful := [line for line in found if not line.whole]:
        mend = "mend it with dbroster edit first; nothing was changed"
        raise ConfigError([Problem(f"{line.problem}; {mend}", users.name, line.number, line.name) for line in doubtful])
    return found


def _line(name: str, password: Secret) -> bytes:
    """Return a line of the roster without its end. Raises ConfigError where it would be none, or more than one."""
    line = f"{name}:{password.reveal()}".encode()
    if unprintable(password) or any(found.doubt for found in significant(line + b"\n", USERS_FILE)):
        text = f"the password for {name} holds a control character or a line separator, which no line can hold"
        raise ConfigError([Problem(f"{text}; nothing was changed")])
    return line


def _judged(place: Place, names: Collection[str], users: Users, data: bytes) -> bytes:
    """Return what shall be written. Raises ConfigError if a sync would refuse one of these users."""
    problems = judge(place.directory, data, users.name, place.servers)
    refused = [Problem(problem.text, user=problem.user) for problem in problems if problem.user in names]
    if set(names) - {line.name for line in user_lines(data, users.name, place.directory)}:
        text = "a name that looks like a password, with a password that looks like a name, would be taken for swapped"
        refused.append(Problem(f"{text}: choose another password, or another name"))
    if refused:
        raise ConfigError([*refused, Problem(f"nothing was changed in {users.name}")])
    return data


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
