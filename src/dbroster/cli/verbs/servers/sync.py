"""`dbroster sync`, and each engine's own script: bring servers in step with users.txt."""

import argparse
import os
import sys
from pathlib import Path

from dbroster.cli.arguments import SYNC_CODES, Parser, engine_arguments, epilog, files_words, sync_options
from dbroster.cli.servers import OneServer, serve
from dbroster.cli.stopping import Connect
from dbroster.errors import ConfigError
from dbroster.model.problems import Problem
from dbroster.model.result import Result
from dbroster.report.exit_codes import Exit
from dbroster.run.server_run import Options
from dbroster.run.sync import Sync

HELP = "bring servers in step with users.txt"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a sync can be told."""
    parser.epilog = epilog("dbroster sync postgresql --max-removals 2", SYNC_CODES)
    engine_arguments(parser)
    sync_options(parser)


def run(given: argparse.Namespace, connect: Connect) -> int:
    """Sync every server that is asked for. Raises ConfigError for options that don't go together."""
    if given.dry_run and given.metrics:
        raise ConfigError([Problem("--metrics is for runs: a dry run would look like one to whoever reads them")])
    options = Options(
        given.directory, given.dry_run, given.jobs, given.max_removals, frozenset(given.adopt), given.audit_log,
        frozenset(given.expect), adopt_from=_listed(given.adopt_from),
    )  # fmt: skip
    return serve(given, options, connect, _sync)


def _listed(path: Path | None) -> frozenset[str]:
    """Return whom a file names."""
    if path is None:
        return frozenset()
    from dbroster.roster.adopted import read_adopted  # a rare wish

    return read_adopted(path)


def afterwards(given: argparse.Namespace, connect: Connect) -> int:
    """Sync all servers behind a change of the roster, if that is asked for."""
    if not given.sync:
        return Exit.IN_STEP
    parser = Parser()
    arguments(parser)
    return run(parser.parse_args(files_words(given)), connect)


def _sync(server: OneServer) -> Result:
    connection, roster = server.load()
    options = server.options._replace(command=sync_command(server.given, server.engine))
    return Sync(connection, roster, options, *server.means, again=server.load_again).run()


def sync_command(given: argparse.Namespace, engine: str) -> tuple[str, ...]:
    """Return the words of a sync of one engine that does what these arguments ask for: no dry run, no other options."""
    program = Path(sys.argv[0])
    known = (Path(folder, "python3") for folder in os.get_exec_path())
    found = next((path for path in known if os.access(path, os.X_OK)), None)  # `shutil.which` takes long to import
    python = "python3" if str(found) == sys.executable else sys.executable
    words = [python, str(program)] if program.suffix == ".py" else [program.name or "dbroster"]
    if program.name == "__main__.py":
        words = [python, "-m", "dbroster"]
    if not program.stem.endswith(("_sync", "-sync")):
        words += ["sync", engine]
    named = (
        ("--config", given.directory), ("--identity", given.identity), ("--audit-log", given.audit_log),
        ("--adopt-from", given.adopt_from),
    )  # fmt: skip
    words += [word for option, value in named if value is not None for word in (option, str(value))]
    return (*words, *(word for user in given.adopt for word in ("--adopt", user)))
