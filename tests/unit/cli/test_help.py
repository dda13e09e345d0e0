"""What `--help` tells of each verb: every argument, an example that can be typed, and the exit codes."""

import argparse
import re
import shlex
from collections.abc import Iterator

import pytest

from dbroster.cli.main import parser
from dbroster.engines import ENGINES
from dbroster.report.exit_codes import Exit

Parsers = dict[str, argparse.ArgumentParser]


def inner(outer: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser, and those of its verbs."""
    yield outer
    for action in outer._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from inner(each)


VERBS = {each.prog: each for each in inner(parser(None))}
SCRIPTS = {f"{engine}-sync": parser(engine) for engine in ENGINES}
HELPS = [*VERBS.items(), *SCRIPTS.items()]


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize(("name", "one"), HELPS, ids=[name for name, _ in HELPS])
def test_the_example_can_be_typed(name: str, one: argparse.ArgumentParser) -> None:
    """D11: as it stands there."""
    (line,) = re.findall(r"^example: (.*)$", str(one.epilog), re.MULTILINE)
    words = shlex.split(line.partition(" | ")[0])
    if name in SCRIPTS:
        assert words[0] == "%(prog)s"
        one.parse_args(words[1:])
        return
    assert f"{' '.join(words)} ".startswith(f"{name} ")
    parser(None).parse_args(words[1:])
    assert f"\nexample: {' '.join(line.split())[:50]}" in one.format_help()


@pytest.mark.parametrize(("name", "one"), HELPS, ids=[name for name, _ in HELPS])
def test_the_exit_codes_are_told(name: str, one: argparse.ArgumentParser) -> None:
    """D11: of every verb, and no others."""
    (line,) = re.findall(r"^exit codes: (.*)$", str(one.epilog), re.MULTILINE)
    codes = [int(code) for code in re.findall(r"(?:^|; )(\d) [a-z]", line)]
    assert codes == sorted(set(codes)), name
    assert {Exit.IN_STEP, Exit.NOT_STARTED} <= set(codes) <= set(Exit)
    assert (Exit.PENDING in codes) is ("--detailed-exitcode" in one.format_help())
    assert "\nexit codes: 0 " in one.format_help()


@pytest.mark.parametrize(("name", "one"), HELPS, ids=[name for name, _ in HELPS])
def test_every_argument_has_words_of_its_own(name: str, one: argparse.ArgumentParser) -> None:
    verbs = [action for action in one._actions if isinstance(action, argparse._SubParsersAction)]
    silent = [action.dest for action in one._actions if not action.help and action not in verbs]
    assert silent == [], name
    assert all(choice.help for action in verbs for choice in action._choices_actions)
    assert max(map(len, one.format_help().splitlines())) <= 80
