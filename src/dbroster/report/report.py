"""What a report is made of, whatever its format."""

from collections.abc import Sequence
from typing import NamedTuple

from dbroster.model.result import Result
from dbroster.report.exit_codes import Exit


class Report(NamedTuple):
    """The results of all servers with an exit code each, the exit code of all, and how a person wants it."""

    results: Sequence[Result]
    codes: Sequence[Exit]
    code: Exit
    dry_run: bool = False
    colour: bool = False
    verbose: bool = False
    quiet: bool = False
