"""Metrics of a run for the textfile collector of Prometheus' node_exporter."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from dbroster.errors import ConfigError
from dbroster.files.read import read_file
from dbroster.files.write import failing, taken_problem, write_public_file
from dbroster.model.problems import Problem
from dbroster.model.result import Result, Status
from dbroster.report.exit_codes import Exit
from dbroster.report.report import Report

SUCCESS = "dbroster_last_success_timestamp_seconds"
_HELP = {
    "dbroster_last_run_timestamp_seconds": "When the last run ended.",
    SUCCESS: "When the last run ended that left nothing to look at (exit code 0).",
    "dbroster_run_duration_seconds": "How long the last run took.",
    "dbroster_exit_code": "Exit code that this server alone would have given.",
    "dbroster_users": "Users of the roster.",
    "dbroster_users_unchanged": "Users that were in step already.",
    "dbroster_actions": "Actions of the last run by what became of them.",
    "dbroster_problems": "What a person has to mend.",
    "dbroster_warnings": "What a person should know.",
}
_KEPT = re.compile(rf"^{SUCCESS}(\{{.*\}}) ([0-9.]+)$", re.MULTILINE)
_MOST = 4_000_000
Labels = tuple[tuple[str, str], ...]


def write_metrics(report: Report, path: Path, now: float) -> None:
    """Write the file, which everybody may read; the last success of a server that failed now stays. Raises ConfigError.

    A reader sees the old file or the new one. What is no file of ours, or no file, is left alone.
    """
    with failing(path):
        if reason := taken_problem(path):
            raise ConfigError([Problem(f"{reason}; the metrics were not written")])
    content = read_file(path, _MOST)
    if content.problem and not content.missing:
        raise ConfigError([content.problem])
    before = content.data.decode("utf-8", "replace")
    if before and f"# HELP {SUCCESS} " not in before:
        raise ConfigError([Problem(f"{path} is not a file that dbroster has written; remove it, or name another one")])
    write_public_file(path, as_metrics(report, now, dict(_KEPT.findall(before))).encode())


def as_metrics(report: Report, now: float, kept: Mapping[str, str]) -> str:
    """Return the text; `kept` is the last success so far by labels."""
    values: dict[str, list[str]] = {name: [] for name in _HELP}
    for result, code in zip(report.results, report.codes, strict=True):
        own = _labels((("engine", result.engine), ("server", result.server)))
        success = f"{now:.3f}" if code is Exit.IN_STEP else kept.get(own)
        if success:
            values[SUCCESS].append(f"{SUCCESS}{own} {success}")
        for name, labels, value in _values(result, code, now):
            text = _labels((("engine", result.engine), ("server", result.server), *labels))
            values[name].append(f"{name}{text} {value}")
    return "".join(
        f"# HELP {name} {_HELP[name]}\n# TYPE {name} gauge\n" + "".join(f"{line}\n" for line in lines)
        for name, lines in values.items()
    )


def _values(result: Result, code: Exit, now: float) -> Iterator[tuple[str, Labels, str]]:
    warnings = sum(problem.warning for problem in result.problems)
    problems = len(result.problems) - warnings + len(result.conflicts) + (result.fatal is not None)
    yield "dbroster_last_run_timestamp_seconds", (), f"{now:.3f}"
    yield "dbroster_run_duration_seconds", (), f"{result.seconds:.3f}"
    yield "dbroster_exit_code", (), str(int(code))
    yield "dbroster_users", (), str(result.users)
    yield "dbroster_users_unchanged", (), str(result.unchanged)
    yield "dbroster_problems", (), str(problems)
    yield "dbroster_warnings", (), str(warnings)
    counts = Counter(outcome.status for outcome in result.outcomes)
    for status in Status:
        if status is not Status.PLANNED:
            yield "dbroster_actions", (("status", status.value),), str(counts[status])


def _labels(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
