"""For people: `python -m servers start postgresql mysql` starts servers and keeps them until Ctrl-C.

`python -m servers version mysql` starts one, prints its version and ends it.
"""

import argparse
import contextlib
import shlex
import signal
import sys

from servers.base import Missing, Server
from servers.given import ENGINES, variable


def facts(server: Server) -> str:
    """What one needs for connecting."""
    lines = [
        server.engine,
        f"  address    {server.host}:{server.port}",
        f"  login      {server.admin_user}",
        f"  password   {server.admin_password}",
        f"  TLS        {server.ca or 'none'}",
        *(f"  log        {path}" for path in server.log_files()),
        f"  for tests  export {variable(server.engine)}={shlex.quote(server.url)}",
    ]
    return "\n".join(lines)


def main() -> int:
    """Start what is asked for, print how to connect, wait."""
    parser = argparse.ArgumentParser(prog="python -m servers", description="Throw-away database servers.")
    parser.add_argument("command", choices=["start", "version"])
    parser.add_argument("engine", nargs="+", choices=sorted(ENGINES))
    told = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # also where whoever started this ignores Ctrl-C
        signal.signal(number, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as stack:
        try:
            for engine in told.engine:
                server = stack.enter_context(ENGINES[engine]())
                print(facts(server) if told.command == "start" else server.told_version, flush=True)
        except Missing as missing:
            print(missing, file=sys.stderr)
            return 1
        if told.command == "start":
            print("Ctrl-C ends and removes them.", flush=True)
            signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
