"""notify_command: a program of the DBA's that is told when a run has changed something, failed or was refused.

It gets the JSON report to read, which holds no secret, and an environment without the admins' passwords. It runs
without a shell, for a bounded time; whatever goes wrong with it changes nothing about the run.
"""

import os
import re
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress

from dbroster.config.connections import CONNECTIONS_FILE, NOTIFY_COMMAND, program
from dbroster.errors import ConfigError
from dbroster.files.read import MAX_SETTINGS, Files
from dbroster.model.problems import Problem
from dbroster.report.json_document import as_json
from dbroster.report.report import Report

SECONDS = 30.0
_OURS = "DBROSTER_"
_NEEDED = ("PATH", "HOME")


def notify(files: Files, report: Report, seconds: float = SECONDS) -> None:
    """Run the program, if there is one, in the config directory. Raises ConfigError when it fails in any way."""
    command = program(files, NOTIFY_COMMAND)
    if not command:
        return
    try:
        # a session of its own: it can't ask a person through the terminal, and can be ended with all that it started
        process = subprocess.Popen(
            list(command), cwd=files.directory, env=_environment(files), stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not the name of a program"
        raise _failure(f"the program {command[0]} can't be started: {reason}") from None
    try:
        process.communicate(as_json(report).encode(), timeout=seconds)
    except subprocess.TimeoutExpired:
        raise _failure(f"{command[0]} was not done after {seconds:g} seconds, and was ended") from None
    except KeyboardInterrupt:  # the run is over, and its exit code stands
        raise _failure(f"{command[0]} was not done before Ctrl-C, and was ended") from None
    finally:
        _end(process)
    if process.returncode:
        raise _failure(f"{command[0]} failed with exit code {process.returncode}")


def _environment(files: Files) -> Mapping[str, str]:
    """What the program gets of ours: nothing that connections.yaml names, since a password may stand in it."""
    words = set(re.findall(rb"\w+", files.read(CONNECTIONS_FILE, MAX_SETTINGS).data))
    hidden = {name for name in os.environ if name.startswith(_OURS) or os.fsencode(name) in words}
    return {name: value for name, value in os.environ.items() if name in _NEEDED or name not in hidden}


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End what still runs, with everything that it has started."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stdin:
        with suppress(OSError):
            process.stdin.close()


def _failure(text: str) -> ConfigError:
    return ConfigError([Problem(f"{NOTIFY_COMMAND} in connections.yaml: {text}", warning=True)])
