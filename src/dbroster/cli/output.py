"""What the command line prints: reports on stdout, problems on stderr."""

import argparse
import os
import sys
from collections.abc import Sequence

from dbroster.cli.standard_streams import mutter, put
from dbroster.model.problems import Problem
from dbroster.model.result import Result
from dbroster.report.exit_codes import exit_code, gravest
from dbroster.report.formats import FORMATS
from dbroster.report.plain.text import printable, problem_text
from dbroster.report.report import Report
from dbroster.run.server_run import Options


def report_of(results: Sequence[Result], given: argparse.Namespace, options: Options) -> Report:
    """Return the report of all servers, as the arguments ask for it."""
    codes = [exit_code(r, detailed=given.detailed_exitcode) for r in results]
    colour = in_colour(given)
    return Report(results, codes, gravest(codes), options.dry_run, colour, given.verbose, given.quiet, given.silent)


def tell(results: Sequence[Result], given: argparse.Namespace, options: Options) -> int:
    """Print the report of all servers, as the arguments ask for it, and return the exit code."""
    report = report_of(results, given, options)
    code = report.code
    stands = "" if options.dry_run else f", and what was done stands in {options.audit_path}"
    lost = f"; the exit code is {int(code)}{stands}"
    say(FORMATS[given.output](report), lost)
    return int(code)


def in_colour(given: argparse.Namespace) -> bool:
    """Whether a report may have colours."""
    return sys.stdout.isatty() and not given.no_color and "NO_COLOR" not in os.environ


def say(text: str, lost: str = "") -> None:
    """Print a report; `lost` is for stderr if that fails. A reader who has gone away (`| head`) is no failure."""
    if reason := put(sys.stdout, text):
        mutter(f"the report could not be written to stdout: {reason}{lost}\n")


def complain(problems: Sequence[Problem]) -> None:
    """Print problems that leave nothing to report on."""
    mutter("".join(f"problem: {printable(problem_text(problem))}\n" for problem in problems))
