"""What the command line prints: reports on stdout, problems on stderr."""

import argparse
import os
import sys
from collections.abc import Sequence

from dbroster.cli.standard_streams import mutter, put
from dbroster.model.problems import Problem
from dbroster.model.result import Result
from dbroster.report.run_report import as_json, as_text, exit_code, gravest, printable, problem_text
from dbroster.run.server_run import Options


def tell(results: Sequence[Result], given: argparse.Namespace, options: Options) -> int:
    """Print the report of all servers, as the arguments ask for it, and return the exit code."""
    codes = [exit_code(r, detailed=given.detailed_exitcode) for r in results]
    code = gravest(codes)
    stands = "" if options.dry_run else f", and what was done stands in {options.audit_path}"
    lost = f"; the exit code is {int(code)}{stands}"
    if given.output == "json":
        say(as_json(results, code, dry_run=options.dry_run) + "\n", lost)
    else:
        colour = sys.stdout.isatty() and not given.no_color and "NO_COLOR" not in os.environ
        texts = [as_text(r, colour=colour, verbose=given.verbose, quiet=given.quiet) for r in results]
        if len(results) > 1 and not given.quiet:
            from dbroster.report.table import closing_table  # most runs have one server

            texts.append(closing_table(results, codes))
        say("\n".join(filter(None, texts)), lost)
    return int(code)


def say(text: str, lost: str = "") -> None:
    """Print a report; `lost` is for stderr if that fails. A reader who has gone away (`| head`) is no failure."""
    if reason := put(sys.stdout, text):
        mutter(f"the report could not be written to stdout: {reason}{lost}\n")


def complain(problems: Sequence[Problem]) -> None:
    """Print problems that leave nothing to report on."""
    mutter("".join(f"problem: {printable(problem_text(problem))}\n" for problem in problems))
