"""The command line: `dbroster VERB`, and each engine's own script, which is a sync."""

import argparse
import gc
import sys
from collections.abc import Callable, Sequence
from functools import partial

from dbroster import __version__, engines
from dbroster.cli.arguments import SYNC_CODES, Parser, epilog, sentence, sync_options
from dbroster.cli.config_directory import locate
from dbroster.cli.output import complain
from dbroster.cli.standard_streams import open_all, settle
from dbroster.cli.stopping import Connect
from dbroster.cli.verbs import VERBS, module_of
from dbroster.errors import ConfigError, DbrosterError, defect
from dbroster.model.problems import Problem
from dbroster.report.exit_codes import Exit

_OBJECTS = 50_000


def main(arguments: Sequence[str] | None = None, engine: str | None = None, connect: Connect = engines.connect) -> int:
    """Run the command and return its exit code; with an engine named, as that engine's own script.

    Without arguments, those of the process are meant, which ends behind it.
    """
    if arguments is not None:
        return _main(arguments, engine, connect)
    open_all()
    gc.freeze()  # what was imported stays: to look through it for garbage again and again takes a tenth of a short run
    gc.set_threshold(_OBJECTS)
    try:
        return _main(sys.argv[1:], engine, connect)
    finally:
        settle()
        gc.freeze()  # nor when Python ends


def _main(arguments: Sequence[str], engine: str | None, connect: Connect) -> int:
    given = parser(engine, next(iter(arguments), None)).parse_args(arguments)
    if engine:
        given.verb, given.engines = "sync", [engine]
    try:
        locate(given)
        return module_of(given.verb).run(given, connect)
    except ConfigError as error:
        complain(error.problems)
    except DbrosterError as error:
        complain([Problem(str(error))])
    except Exception as error:  # noqa: BLE001 - a defect; its message may hold a secret
        complain([Problem(defect(error))])
    return Exit.NOT_STARTED


def parser(engine: str | None, wanted: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of `dbroster`, or with an engine named that of the engine's own script.

    Where the verb is known that is `wanted`, the others are not even imported.
    """
    if engine:
        single = Parser(
            description=f"Bring the accounts and databases on {engine} in step with users.txt.",
            epilog=epilog("%(prog)s --config config/ --dry-run", SYNC_CODES),
        )
        sync_options(single)
        return single
    whole = Parser(
        prog="dbroster",
        description="Keep developers' accounts and databases in step with users.txt. `dbroster VERB --help` says more.",
        epilog=epilog("dbroster init --engine postgresql=db1.example.com", SYNC_CODES),
    )
    whole.add_argument("--version", action="version", version=f"dbroster {__version__}")
    verbs = whole.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name in (wanted,) if wanted in VERBS else VERBS:
        verb = module_of(name)
        verb.arguments(verbs.add_parser(name, help=verb.HELP, description=sentence(verb.HELP)))
    return whole


def __getattr__(name: str) -> Callable[[], int]:
    """Return the entry point of an engine's own script, which pyproject.toml names: `mysql_sync` and so on."""
    engine = name.removesuffix("_sync")
    if engine == name or engine not in engines.ENGINES:
        raise AttributeError(f"{__name__} has no {name}")
    return partial(main, engine=engine)


if __name__ == "__main__":
    sys.exit(main())
