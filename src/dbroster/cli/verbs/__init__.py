"""The verbs of `dbroster`, a module each; it is imported when its verb is asked for, or when all are told."""

import argparse
from importlib import import_module
from keyword import iskeyword
from typing import Protocol, cast

from dbroster.cli.stopping import Connect

ROOMS = {
    "begin": ("init", "grants", "import"),
    "roster": ("add", "passwd", "remove", "rename", "encrypt", "edit"),
    "servers": ("sync", "plan", "status", "check", "audit", "restore", "handout"),
}
VERBS = (
    "init", "grants", "add", "passwd", "remove", "rename", "sync", "plan", "status", "check", "audit", "encrypt",
    "edit", "restore", "handout", "import",
)  # fmt: skip
"""In the order in which `--help` tells them."""


class Verb(Protocol):
    """What the module of a verb has; `HELP` is one line of the list of verbs."""

    HELP: str

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the verb's own arguments."""

    def run(self, given: argparse.Namespace, connect: Connect) -> int:
        """Do it, and return the exit code. Raises ConfigError and the like where nothing can be reported on."""


def module_of(verb: str) -> Verb:
    """Import a verb's module; one that is named as Python's own word ends in `_`."""
    room = next(room for room, verbs in ROOMS.items() if verb in verbs)
    return cast("Verb", import_module(f"dbroster.cli.verbs.{room}.{verb}{'_' * iskeyword(verb)}"))
