"""`dbroster import`: propose a roster for a server that others made."""

import argparse
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from dbroster.cli.arguments import config_option, epilog
from dbroster.cli.choices import only_server, product
from dbroster.cli.output import say
from dbroster.cli.stopping import Connect
from dbroster.config.connections import CONNECTIONS_FILE, read_connections
from dbroster.config.new_directory import IGNORED
from dbroster.config.one_server import one_server
from dbroster.engines import OTHER_NAMES
from dbroster.errors import ConfigError
from dbroster.files.permissions import place_problem
from dbroster.files.read import Files
from dbroster.files.write import refuse_directory, write_private_directory
from dbroster.model.connection import Connection
from dbroster.model.names import NAME_RULE, is_name
from dbroster.model.problems import Problem
from dbroster.model.roster import USERS_FILE, Roster
from dbroster.report.exit_codes import Exit
from dbroster.report.proposal import proposal_text
from dbroster.run.reading.proposing import Proposed, Proposing, users_text
from dbroster.run.server_run import Options

HELP = "propose a roster for a server that others made; changes nothing there, and no roster"
ADOPT_FILE = "adopt.txt"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add which server, and where the proposal goes."""
    parser.epilog = epilog(
        "dbroster import postgresql --to proposal",
        "0 somebody is proposed; 1 nobody fits, and nothing was written; 2 the server could not be read, or the "
        "directory can't be made",
    )
    parser.add_argument(
        "product", type=product, metavar="ENGINE", help="postgresql, mysql, mariadb, mongodb or clickhouse"
    )
    config_option(parser)
    parser.add_argument("--server", metavar="NAME", help="this one of the servers that the section lists")
    parser.add_argument(
        "--template", action="append", default=[], type=_template, dest="templates", metavar="NAME",
        help="propose this template, and no others than those that are named (repeatable; default: all that at least "
        "two accounts have a database of)",
    )  # fmt: skip
    parser.add_argument(
        "--to", type=Path, metavar="DIR",
        help="write the proposal into a new directory, with a new password for each user; without, it is only told",
    )  # fmt: skip


def run(given: argparse.Namespace, connect: Connect) -> int:
    """Tell the proposal, and write it."""
    engine = OTHER_NAMES.get(given.product, given.product)
    files = Files(given.directory)
    if others := place_problem(given.directory):
        raise ConfigError([Problem(others)])
    if given.to:
        refuse_directory(given.to)
    connection = only_server(read_connections(files, engine, given.server))
    options = Options(given.directory, dry_run=True)
    templates = tuple(dict.fromkeys(given.templates))
    found = Proposing(connection, Roster(), options, connect, templates=templates).run()
    wanted = bool(given.to and found.proposal.fits)
    if wanted:
        _refuse_ours(found, connection)
        write_private_directory(given.to, _contents(found, connection, one_server(files, connection)))
    steps = list(_steps(given, engine, found)) if found.proposal.fits else []
    say(proposal_text(found.product, found.host, found.proposal, given.to if wanted else None, steps))
    return Exit.IN_STEP if found.proposal.fits else Exit.INCOMPLETE


def _template(text: str) -> str:
    if not is_name(text):
        raise argparse.ArgumentTypeError(f"not a template name ({NAME_RULE})")
    return text


def _refuse_ours(found: Proposed, connection: Connection) -> None:
    """Refuse a new roster of the same name: a sync of it would remove those of the old one."""
    if ours := found.proposal.ours:
        text = (
            f"the roster {connection.roster!r} has accounts there already ({len(ours)}, {ours[0]} is one), and a sync "
            "of a new users.txt would remove them; take others over in the roster that you have: dbroster add NAME, "
            f"then dbroster sync {connection.engine} --adopt NAME; nothing was written"
        )
        raise ConfigError([Problem(text)])


def _contents(found: Proposed, connection: Connection, connections: str) -> Mapping[str, bytes]:
    """Return the files of the directory: a config directory of its own, and the list of who is taken over."""
    where = f"{found.product} at {found.host}"
    out = "take a line out here and in {}, and the account stays as it is."
    texts = {
        USERS_FILE: f"# Proposed by dbroster import for {where}, with new passwords:\n# {out.format(ADOPT_FILE)}\n"
        + users_text(found.passwords),
        ADOPT_FILE: f"# Accounts to be taken over by dbroster sync --adopt-from:\n# {out.format(USERS_FILE)}\n"
        + "".join(f"{name}\n" for name in found.passwords),
        f"{connection.engine}_databases.txt": "# Each user has one database per line: USERNAME_LINE.\n"
        + "".join(f"{name}\n" for name in found.proposal.templates),
        ".gitignore": IGNORED,
        CONNECTIONS_FILE: f"# Made by dbroster import, for this server only.\n{connections}",
    }
    return {name: text.encode() for name, text in texts.items()}


def _steps(given: argparse.Namespace, engine: str, found: Proposed) -> Iterator[tuple[str, str]]:
    """Return the commands that come next, and what for."""
    server = ["--server", given.server] if given.server else []
    if not given.to:
        words = ["import", given.product, *(["--config", str(given.directory)] if given.typed else []), *server]
        words += [word for name in given.templates for word in ("--template", name)]
        yield _command(*words, "--to", f"{engine}-proposal"), "write it"
        return
    where = ["--config", str(given.to)]
    adopting = [*where, "--adopt-from", str(given.to / ADOPT_FILE)]
    if found.lacking:
        yield _command("grants", given.product, *where, "--show"), "what the admin lacks for these templates"
    yield _command("plan", engine, *adopting), "what a sync would do"
    yield _command("sync", engine, *adopting), "take them over"
    yield _command("plan", engine, *where), "has nothing left to do"
    yield _command("handout", "NAME", *where, "--to", "NAME.txt"), "tell everybody the new password"


def _command(*words: str) -> str:
    return shlex.join(["dbroster", *words])
