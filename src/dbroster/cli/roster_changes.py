"""What the verbs have in common that change the roster without an editor: add, passwd, remove."""

import argparse
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from shlex import join

from dbroster.cli.arguments import files_options, typed_words
from dbroster.cli.output import complain, say
from dbroster.cli.stopping import Connect
from dbroster.errors import ConfigError
from dbroster.files.read import is_utf8
from dbroster.model.problems import Problem
from dbroster.passwords.generated import generated
from dbroster.passwords.policy import PasswordRules
from dbroster.passwords.secret import Secret
from dbroster.roster.editing.change import Changed, Place
from dbroster.roster.editing.interrupts import Interrupts
from dbroster.roster.editing.judge import reached, servers_of

EXIT_CODES = "0 the roster was changed; 2 it was not; with --sync, those of `dbroster sync`"
_MOST = 65536

Given = Mapping[str, Secret | None]


def options(parser: argparse.ArgumentParser) -> None:
    """What all of them can be told."""
    files_options(parser)
    parser.add_argument("--sync", action="store_true", help="bring all servers in step right away")


def password_options(parser: argparse.ArgumentParser) -> None:
    """What those can be told that set passwords."""
    options(parser)
    parser.add_argument(
        "--password-stdin", action="store_true", help="take the password of one user from standard input (one line)"
    )
    parser.add_argument("--show", action="store_true", help="print the new lines of the roster, passwords and all")
    parser.add_argument(
        "--connect", action="store_true",
        help="log in to every server, and keep to the rules that it has itself, too (--sync does that as well)",
    )  # fmt: skip


def set_passwords(
    given: argparse.Namespace, connect: Connect, wanted: Given, change: Callable[[Place, Mapping[str, Secret]], Changed]
) -> Changed:
    """Give each user the wanted password, or a new one, and print what may be printed."""
    with ExitStack() as stack:
        servers = list(servers_of(given.directory))
        if given.connect or given.sync:
            servers, unasked = reached(servers, connect, stack)
            complain(unasked)
        rules = [rule for server in servers for rule in server.rules()]
        passwords = {name: password or _new(name, rules) for name, password in wanted.items()}
        with Interrupts():
            done = change(Place(given.directory, given.identity, servers), passwords)
    if given.show:
        say("".join(f"{name}:{password.reveal()}\n" for name, password in passwords.items()))
    return done


def wanted_by(names: Collection[str], given: argparse.Namespace) -> Given:
    """Return the users that the arguments name, with the password from standard input if it is there."""
    if not given.password_stdin:
        return dict.fromkeys(names)
    if len(names) != 1:
        raise ConfigError([Problem("--password-stdin sets the password of one user: name one; nothing was changed")])
    return dict.fromkeys(names, _from_stdin(*names))


def tell(given: argparse.Namespace, done: Changed, sentence: str, told: Sequence[str] = ()) -> None:
    """Say what was done, what of other users a sync will refuse, and what comes next, also for those to be told."""
    say(f"{sentence}\n")
    if done.problems:
        complain([*done.problems, Problem("a sync will find this, too: mend it with dbroster edit", warning=True)])
    if not given.sync:
        name = told[0] if len(told) == 1 else "NAME"
        steps = [["plan"], ["sync"], *([["handout", name, "--to", f"{name}.txt"]] if told else [])]
        lines = [join(["dbroster", *step, *typed_words(given)]) for step in steps]
        say("next: " + "\n      ".join(lines) + "\n")


def listed(names: Sequence[str]) -> str:
    """Name a few users, and say of many how many there are."""
    most = 10
    if len(names) > most:
        return f"{len(names)} users"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def were(names: Sequence[str]) -> str:
    """Return the verb that goes with so many."""
    return "were" if len(names) > 1 else "was"


def _new(name: str, rules: Sequence[PasswordRules]) -> Secret:
    try:
        return Secret(generated(name, rules))
    except ValueError:
        text = f"no new password for {name} meets all rules of connections.yaml and the servers; choose one yourself, "
        raise ConfigError([Problem(f"{text}with --password-stdin; nothing was changed")]) from None


def _from_stdin(name: str) -> Secret:
    """Read one line; at a terminal twice, and without showing it."""
    if sys.stdin.isatty():
        return _typed(name)
    data = sys.stdin.buffer.read(_MOST + 1)
    line, _, rest = data.removesuffix(b"\n").removesuffix(b"\r").partition(b"\n")
    if not line or rest or len(data) > _MOST or not is_utf8(line):
        raise ConfigError([Problem("expected the password as one line of UTF-8 on stdin; nothing was changed")])
    return Secret(line.decode())


def _typed(name: str) -> Secret:
    from getpass import getpass  # a rare wish

    try:
        first, second = (Secret(getpass(f"{word} for {name}: ")) for word in ("password", "once more, the password"))
    except (EOFError, KeyboardInterrupt, ValueError):
        raise ConfigError([Problem("no password was typed; nothing was changed")]) from None
    if first != second:
        raise ConfigError([Problem("the two passwords differ; nothing was changed")])
    return first
