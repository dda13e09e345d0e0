"""python -m servers.clickhouse_standin --port 8123 --directory DIR --admin-password-file FILE."""

import argparse
import signal
from pathlib import Path

from servers.clickhouse_standin.web import StandIn


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m servers.clickhouse_standin")
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--directory", type=Path, help="where databases and accounts are kept; else nowhere")
    parser.add_argument("--admin-password-file", type=Path, help="the password of `default`; else it has none")
    parser.add_argument("--statement-log", type=Path)
    parser.add_argument("--password-pattern", action="append", default=[], help="plain passwords must match it")
    parser.add_argument(
        "--shows-secrets", choices=("0", "1"), default="0", help="as display_secrets_in_show_and_select"
    )
    given = parser.parse_args()
    password = given.admin_password_file.read_text() if given.admin_password_file else ""
    rules = [(pattern, f"match {pattern}") for pattern in given.password_pattern]
    ended = {signal.SIGTERM, signal.SIGINT}
    # Blocked before any thread is started, so that only sigwait below gets them.
    signal.pthread_sigmask(signal.SIG_BLOCK, ended)
    with StandIn(
        given.port, password, given.directory, rules, given.statement_log, shows_secrets=given.shows_secrets == "1"
    ):
        signal.sigwait(ended)


if __name__ == "__main__":
    main()
