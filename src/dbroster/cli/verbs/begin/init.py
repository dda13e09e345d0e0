"""`dbroster init`: make a config directory."""

import argparse
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from dbroster.cli.arguments import engine_name, epilog
from dbroster.cli.config_directory import first_choice
from dbroster.cli.output import say
from dbroster.cli.stopping import Connect
from dbroster.config.new_directory import FirstServer, make_directory, named
from dbroster.engines import OTHER_NAMES
from dbroster.report.exit_codes import Exit

HELP = "make a config directory; overwrites nothing"
_SERVER = re.compile(r"(\[[^\]\s]+\]|/\S*|[^\s:/\[\]]+)(?::(\d{1,5}))?")
_MOST = 65535


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add where it shall be, and for which servers."""
    parser.epilog = epilog(
        "dbroster init config --engine postgresql=db1.example.com --engine mysql=db2.example.com:3307",
        "0 made; 2 could not be made, nothing was overwritten",
    )
    place = parser.add_mutually_exclusive_group()
    place.add_argument("place", nargs="?", type=Path, metavar="DIR", help="default: $DBROSTER_CONFIG, or ./config")
    place.add_argument("--config", "--config-path", dest="named", type=Path, metavar="DIR", help="the same")
    parser.add_argument(
        "--engine", action="append", default=[], type=_server, dest="first_servers", metavar="ENGINE[=HOST[:PORT]]",
        help="a server that you have (repeatable; default host: 127.0.0.1); without, connections.yaml has a section of "
        "every engine to choose from",
    )  # fmt: skip


def run(given: argparse.Namespace, _: Connect) -> int:
    """Make it, and say what comes next."""
    directory = given.place or given.named or first_choice()
    servers = named(given.first_servers)
    made = make_directory(directory, servers)
    say(f"{directory}: made {', '.join(made)}\n{_next(directory, servers)}")
    return Exit.IN_STEP


def _next(directory: Path, servers: Sequence[FirstServer]) -> str:
    option = "" if directory == first_choice() else f" --config {shlex.quote(str(directory))}"
    which = [f"{server.called}{f' --server {server.name}' * bool(server.name)}" for server in servers]
    choose = [] if servers else [(f"$EDITOR {directory}/connections.yaml", "choose the servers that you have")]
    steps = [
        *choose,
        *(
            (f"dbroster grants {each}{option}", "how the admin account is made on the server")
            for each in which or ["ENGINE"]
        ),
        (f"dbroster add NAME{option}", "who shall have an account"),
        (f"dbroster plan{option}", "what a sync would do"),
    ]
    width = max(len(command) for command, _ in steps)
    return "".join(["next:\n", *(f"  {command:{width}}  # {what}\n" for command, what in steps)])


def _server(text: str) -> FirstServer:
    called, _, address = text.partition("=")
    engine = engine_name(OTHER_NAMES.get(called, called))
    if not address:
        return FirstServer(engine, called=called)
    found = _SERVER.fullmatch(address)
    port = int(found[2]) if found and found[2] else None
    if not found or port == 0 or (port or 0) > _MOST:
        raise argparse.ArgumentTypeError(f"expected {called}=HOST or {called}=HOST:PORT (an IPv6 address in brackets)")
    return FirstServer(engine, found[1].strip("[]"), port, called)
