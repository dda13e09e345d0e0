"""What the command line prints: reports on stdout, problems on stderr."""

import argparse
import os
import sys
from collections.abc import Sequence

from dbroster.closing import closing_table
from dbroster.model import Problem, Result
from dbroster.report import as_json, as_text, exit_code, gravest, printable, problem_text


def tell(results: Sequence[Result], given: argparse.Namespace) -> int:
    """Print the report of all servers, as the arguments ask for it, and return the exit code."""
    codes = [exit_code(r, detailed=given.detailed_exitcode) for r in results]
    code = gravest(codes)
    if given.output == "json":
        say(as_json(results, code, dry_run=given.dry_run) + "\n")
    else:
        colour = sys.stdout.isatty() and not given.no_color and "NO_COLOR" not in os.environ
        texts = [as_text(r, colour=colour, verbose=given.verbose, quiet=given.quiet) for r in results]
        if len(results) > 1 and not given.quiet:
            texts.append(closing_table(results, codes))
        say("\n".join(filter(None, texts)))
    return int(code)


def say(text: str) -> None:
    """Print a report; a reader who has gone away (`| head`) is no failure of what was done."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that Python's own flush at exit succeeds


def complain(problems: Sequence[Problem]) -> None:
    """Print problems that leave nothing to report on."""
    sys.stderr.write("".join(f"problem: {printable(problem_text(problem))}\n" for problem in problems))
