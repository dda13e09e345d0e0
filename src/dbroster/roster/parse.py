"""users.txt and the template lists: from bytes to a Roster, with every problem and its line number.

A line `username:password` is split at its first colon. White space around the name is ignored; the password is all
that follows, to the end of the line. Blank lines and lines that begin with `#` are comments. UTF-8, with or without a
byte order mark, with LF or CRLF. A line that may not be whole (lines.py) changes nobody, and removes nothing. Nothing
in a problem's text is ever taken from a line, since it may hold a password; but for what is known to be a name.

`old>new:password` says that `dbroster rename` is at work, or was killed: both names are left as found until it ends.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from dbroster.errors import ConfigError
from dbroster.files.lines import significant
from dbroster.files.permissions import open_problem, owner_problem
from dbroster.files.read import MAX_SETTINGS, FileContent, Files
from dbroster.model.names import NAME_RULE, is_name, system_account
from dbroster.model.problems import Problem
from dbroster.model.roster import USERS_FILE, Roster, User
from dbroster.passwords.secret import Secret
from dbroster.roster.source import UsersSource

MOST = 1000
"""So many problems of a file's lines are reported one by one; of the other lines only how many there are."""

_NOTHING_REMOVED = "nothing is removed in this run"

RENAMING = ">"
"""What stands between the two names of a user who is being renamed."""


class UserLine(NamedTuple):
    """One line that says something: `name` is None when it can't be told whose it is; `whole`: it is one line.

    `becomes`: the other name that a rename is giving this user.
    """

    number: int
    name: str | None = None
    password: str | None = None
    problem: str | None = None
    whole: bool = True
    becomes: str | None = None

    @property
    def suspends(self) -> str | None:
        """Why nobody may be removed because of this line."""
        if self.name is None:
            return "its user can't be told"
        return None if self.whole else "it may not be a whole line"


def read_roster(source: UsersSource, engine: str) -> Roster:
    """Read the users and the engine's template list.

    Lines that can't be used are problems of the roster. Raises ConfigError when a file can't be used at all: wrong
    mode, not a file, can't be decrypted, no template list. A missing users.txt is an empty roster that removes
    nothing; the guard judges it.
    """
    users, directory = source.users, source.files.directory
    templates = source.files.read(f"{engine}_databases.txt", MAX_SETTINGS)
    fatal = [*users.problems, *filter(None, _template_file(directory / templates.name, templates))]
    roster = _parsed(users.data, users.name, directory)
    if users.missing:
        roster = Roster(problems=(users.missing,), suspended=(f"{USERS_FILE} is missing",))
    names, problems = parse_templates(templates.data, templates.name, directory)
    if fatal:
        raise ConfigError([*fatal, *roster.problems, *problems])
    broken = _few([f"{p.file} line {p.line} can't be used" for p in problems if not p.warning])
    more = _fewer(problems, templates.name)
    roster = roster._replace(file=users.name, unread=users.unread)
    return roster._replace(templates=names, problems=roster.problems + more, suspended=roster.suspended + broken)


def read_templates(files: Files, engine: str) -> tuple[str, ...]:
    """Read the engine's template list alone. Raises ConfigError when it can't be used, or one of its lines."""
    content = files.read(f"{engine}_databases.txt", MAX_SETTINGS)
    fatal = [*filter(None, _template_file(files.directory / content.name, content))]
    names, problems = parse_templates(content.data, content.name, files.directory)
    if grave := [*fatal, *(problem for problem in problems if not problem.warning)]:
        raise ConfigError(grave)
    return names


def _template_file(path: Path, content: FileContent) -> Iterator[Problem | None]:
    """Say why a template list can't be used at all, or must not be believed."""
    yield content.problem
    if not content.problem:
        yield open_problem(path, content.mode) or owner_problem(path, content.owner)


def parse_users(data: bytes, file: str = USERS_FILE, directory: Path = Path()) -> Roster:
    """Parse the bytes of users.txt, or of what stands for it under the name `file`; never raises."""
    lines = list(user_lines(data, file, directory))
    problems = [Problem(line.problem, file, line.number, line.name) for line in lines if line.problem]
    suspended = _few(
        [f"{file} line {line.number}: {line.suspends}" for line in lines if not (line.name and line.whole)]
    )
    usable = [line for line in lines if not line.problem]
    repeated = list(_repeated(lines, file))
    bad = {problem.user for problem in [*problems, *repeated] if problem.user and not problem.warning}
    bad |= {line.becomes for line in lines if line.becomes}
    users = {
        line.name: User(line.name, Secret(line.password or ""), line.number)
        for line in reversed(usable)
        if line.name and line.name not in bad
    }
    ordered = sorted([*problems, *repeated], key=lambda problem: problem.line or 0)
    told = _fewer(ordered, file)
    return Roster(dict(reversed(users.items())), frozenset(bad), (), told, suspended, file != USERS_FILE, file)


_parsed = lru_cache(maxsize=1)(parse_users)
"""For the servers of a run, which have one roster."""


def _fewer(problems: list[Problem], file: str) -> tuple[Problem, ...]:
    """Return the first problems of a file, and one that stands for the rest."""
    rest = problems[MOST:]
    if not rest:
        return tuple(problems)
    return *problems[:MOST], more_lines(len(rest), sum(not problem.warning for problem in rest), file)


def more_lines(lines: int, grave: int, file: str) -> Problem:
    """Return the problem that stands for lines which are not told one by one; a warning if none of them is grave."""
    return Problem(f"so it is with {lines} more lines, {grave} of which can't be used", file, warning=not grave)


def _few(reasons: list[str]) -> tuple[str, ...]:
    """Return the first reasons, which all stand in one sentence, and how many there are besides."""
    most = 20
    return tuple(reasons if len(reasons) <= most else [*reasons[:most], f"and {len(reasons) - most} lines more"])


def parse_templates(data: bytes, file: str, directory: Path = Path()) -> tuple[tuple[str, ...], list[Problem]]:
    """Parse a template list; the problems tell lines that can't be used, and warn of repeated ones."""
    names: dict[str, int] = {}
    problems = []
    for line in significant(data, file, directory):
        text = _decode(line.raw)
        if line.doubt:
            text = f"{line.doubt}; {_NOTHING_REMOVED}, and the databases of this template are left as they are"
            problems.append(Problem(text, file, line.number))
        elif text is None or not is_name(text.strip()):
            problems.append(Problem(f"not a template name ({NAME_RULE}); {_NOTHING_REMOVED}", file, line.number))
        elif text.strip() in names:
            first = names[text.strip()]
            problems.append(Problem(f"the template stands in line {first} already", file, line.number, warning=True))
        else:
            names[text.strip()] = line.number
    return tuple(names), problems


_LONG = 12
"""Characters; what password_policy asks for if nothing else is said."""


def user_lines(data: bytes, file: str, directory: Path) -> Iterator[UserLine]:
    """Return the lines that say something, usable or not."""
    for line in significant(data, file, directory):
        text = _decode(line.raw)
        if text is None:
            found = UserLine(line.number, problem="not UTF-8; nothing is removed")
        else:
            found = _split(line.number, text)
        yield _in_doubt(found, line.doubt) if line.doubt else found


def _in_doubt(found: UserLine, doubt: str) -> UserLine:
    left = "" if found.name is None else "; this user is left as found"
    return found._replace(problem=f"{doubt}{left}; {_NOTHING_REMOVED}", whole=False)


def _decode(raw: bytes) -> str | None:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _split(number: int, text: str) -> UserLine:
    name, colon, password = text.partition(":")
    name = name.strip()
    if not colon:
        return UserLine(number, problem="no colon: expected username:password; nothing is removed")
    if found := _renaming(number, name, password):
        return found
    if not is_name(name):
        return UserLine(number, problem=f"not a user name ({NAME_RULE}); nothing is removed")
    if _swapped(name, password):
        return UserLine(number, problem=f"name and password seem to be swapped: username:password; {_NOTHING_REMOVED}")
    return UserLine(number, name, password, _password_problem(password) or _name_problem(name))


def _renaming(number: int, name: str, password: str) -> UserLine | None:
    """Read a line that `dbroster rename` has written."""
    old, _, new = name.partition(RENAMING)
    if not (is_name(old) and is_name(new)) or _swapped(old, password) or _swapped(new, password):
        return None
    text = f"{old} is being renamed to {new}; both are left as found until that is finished"
    return UserLine(number, old, password, f"{text}: dbroster rename {old} {new}", becomes=new)


def _swapped(name: str, password: str) -> bool:
    """Whether the name looks like a password, and the password like a name."""
    return _looks_secret(name) and is_name(password.strip()) and not _looks_secret(password)


def _looks_secret(text: str) -> bool:
    """Whether a text looks like a password, which must not be told as a name: long, letters of both cases, digits."""
    return len(text) >= _LONG and all(any(map(kind, text)) for kind in (str.islower, str.isupper, str.isdigit))


def _password_problem(password: str) -> str | None:
    if not password:
        return "the password is empty"
    if password != password.strip():
        return "the password begins or ends with white space"
    return None


def _name_problem(name: str) -> str | None:
    return "the name of a system account can't stand in the roster" if system_account(name) else None


def _repeated(lines: list[UserLine], file: str) -> Iterator[Problem]:
    """Tell lines whose user stood before: a warning with the same password, a problem for that user otherwise."""
    seen: dict[str, UserLine] = {}
    for line in lines:
        if line.name is None:
            continue
        first = seen.setdefault(line.name.casefold(), line)
        if first is line:
            continue
        if first.name != line.name:
            text = f"the user names of lines {first.number} and {line.number} differ only in case"
            yield Problem(text, file, first.number, first.name)
            yield Problem(text, file, line.number, line.name)
        elif first.password == line.password:
            text = f"the user stands in line {first.number} already, with the same password"
            yield Problem(text, file, line.number, line.name, warning=True)
        else:
            text = f"the user stands in line {first.number} already, with another password"
            yield Problem(text, file, line.number, line.name)
