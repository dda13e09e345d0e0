"""A report for programs: one JSON document for all servers."""

import json
from typing import Any

from dbroster.model.problems import Problem
from dbroster.model.result import Outcome, Result
from dbroster.report.report import Report, summary

JSON_VERSION = 1


def as_json(report: Report) -> str:
    """Return one JSON document for all servers."""
    document = {
        "version": JSON_VERSION,
        "dry_run": report.dry_run,
        "exit_code": int(report.code),
        "results": [_json_result(result) for result in report.results],
    }
    return json.dumps(document, indent=2) + "\n"


def _json_result(result: Result) -> dict[str, Any]:
    return {
        "engine": result.engine,
        "server": result.server,
        "product": result.product,
        "actions": [_json_outcome(outcome) for outcome in result.outcomes],
        "problems": [json_problem(problem) for problem in result.problems],
        "conflicts": [{"user": conflict.user, "text": conflict.text} for conflict in result.conflicts],
        "refusals": list(result.refusals),
        "permit": result.permit,
        "error": result.fatal,
        "plan": result.plan,
        "audit": {"number": result.audit.number, "head": result.audit.digest} if result.audit else None,
        "summary": summary(result),
    }


def _json_outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "action": outcome.action.verb.value,
        "user": outcome.action.user,
        "database": outcome.action.database,
        "reason": outcome.action.reason,
        "status": outcome.status.value,
        "error": outcome.error,
        "code": outcome.code,
        "seconds": round(outcome.seconds, 6),
        "note": outcome.note,
    }


def json_problem(problem: Problem) -> dict[str, Any]:
    """Return a problem as a document tells it."""
    return {
        "file": problem.file,
        "line": problem.line,
        "user": problem.user,
        "text": problem.text,
        "warning": problem.warning,
    }
