"""Which directory a command works on: the one that is named, or the first one that is there."""

import argparse
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from dbroster.cli.standard_streams import mutter
from dbroster.errors import ConfigError
from dbroster.model.problems import Problem

VARIABLE = "DBROSTER_CONFIG"
HERE = Path("config")
SYSTEM = Path("/etc/dbroster")


def locate(given: argparse.Namespace) -> None:
    """Fill in the directory of a verb that has one, and tell it where it is not the one that was typed.

    Raises ConfigError when there is none. A verb that was given files needs no directory.
    """
    if "directory" not in given or getattr(given, "files", None):
        return
    typed = given.typed = given.directory
    given.directory, why = find_directory(typed)
    if why and not getattr(given, "quiet", False):
        mutter(f"config directory: {given.directory} ({why})\n")


def find_directory(typed: Path | None) -> tuple[Path, str]:
    """Return the directory and, if it is neither the one that was typed nor ./config, why it is this one."""
    candidates = dict(_candidates(typed))
    for path, why in candidates.items():
        if _is_there(path):
            return path, why
    first = next(iter(candidates))
    looked = "" if len(candidates) == 1 else f" (looked for {', '.join(map(str, candidates))})"
    missing = f"there is no directory {first}{looked}; make one with: dbroster init {first}"
    raise ConfigError([Problem(missing)])


def first_choice() -> Path:
    """Return the directory that commands look for first where none is named."""
    return next(iter(dict(_candidates(None))))


def _candidates(typed: Path | None) -> Iterator[tuple[Path, str]]:
    variable = os.environ.get(VARIABLE)
    if typed is not None:
        yield from _here_or_beside_scripts(typed, "")
    elif variable:
        yield from _here_or_beside_scripts(Path(variable), f"named by {VARIABLE}")
    else:
        yield from _here_or_beside_scripts(HERE, "")
        yield SYSTEM, f"there is no {HERE} here"


def _here_or_beside_scripts(path: Path, why: str) -> Iterator[tuple[Path, str]]:
    """Who types a script's name in `scripts/` of a checkout means the directory of the checkout."""
    yield path, why
    scripts = Path(sys.argv[0]).resolve().parent
    if scripts.name == "scripts" and not path.is_absolute():
        yield scripts.parent / path, f"there is no {path} here"


def _is_there(path: Path) -> bool:
    """Whether there is a directory; one that can't be looked at counts: who reads it says why. Raises ConfigError."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:
        return True
    if not stat.S_ISDIR(mode):
        raise ConfigError([Problem(f"{path} is not a directory; name one with --config")])
    return True
