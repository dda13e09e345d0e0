"""Who is told of a run beside the person who reads its report: Prometheus, and notify_command."""

import argparse
import time
from collections.abc import Callable

from dbroster.cli.standard_streams import mutter
from dbroster.errors import ConfigError
from dbroster.files.read import Files
from dbroster.model.result import Result, Status
from dbroster.report.exit_codes import WENT_WRONG
from dbroster.report.plain.text import printable, problem_text
from dbroster.report.report import Report


def pass_on(report: Report, given: argparse.Namespace, files: Files) -> None:
    """Write metrics, and run the program, where these are asked for; what fails there is a warning."""
    if metrics := getattr(given, "metrics", None):
        from dbroster.report.metrics import write_metrics  # seldom asked for, and not needed for anything else

        _warn_of(lambda: write_metrics(report, metrics, time.time()))
    if not report.dry_run and any(map(_is_news, report.results)):
        from dbroster.run.notify import notify

        _warn_of(lambda: notify(files, report))


def _is_news(result: Result) -> bool:
    """Whether something was changed, has failed or was refused; what has been wrong with the files is none."""
    told = (Status.DONE, *WENT_WRONG)
    return bool(result.fatal or result.refusals or any(outcome.status in told for outcome in result.outcomes))


def _warn_of(work: Callable[[], None]) -> None:
    try:
        work()
    except ConfigError as error:
        mutter("".join(f"warning: {printable(problem_text(problem))}\n" for problem in error.problems))
