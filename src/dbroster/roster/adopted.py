"""A file that names accounts to be taken over: `--adopt-from`. One name per line, comments and blank lines."""

from collections.abc import Iterator
from pathlib import Path

from dbroster.errors import ConfigError
from dbroster.files.lines import Line, significant
from dbroster.files.permissions import open_problem, owner_problem, place_problem
from dbroster.files.read import is_utf8, read_file
from dbroster.model.names import NAME_RULE, is_name, system_account
from dbroster.model.problems import Problem


def read_adopted(path: Path) -> frozenset[str]:
    """Return the names. Raises ConfigError with every line that can't be used; none of their text is told."""
    content = read_file(path)
    if content.problem:
        raise ConfigError([content.problem])
    lines = list(significant(content.data, path.name, path.parent))
    problems = [Problem(text, path.name, line.number) for line in lines for text in _wrong(line)]
    problems += filter(None, (open_problem(path, content.mode), owner_problem(path, content.owner)))
    problems += [Problem(others) for others in [place_problem(path.parent)] if others]
    if problems:
        raise ConfigError([*problems, Problem(f"nobody is taken over before {path} can be used")])
    return frozenset(line.raw.decode().strip() for line in lines)


def _wrong(line: Line) -> Iterator[str]:
    """Say what is wrong with a line, by the rules of users.txt."""
    if line.doubt:
        yield line.doubt
    elif not is_utf8(line.raw) or not is_name(line.raw.decode().strip()):
        yield f"not a user name ({NAME_RULE})"
    elif system_account(line.raw.decode().strip()):
        yield "the name of a system account, which nobody takes over"
