"""What a person types in a terminal, with a password where it is asked for; and the programs that are typed."""

import os
import pty
import re
import select
import sys
import termios
import time
from pathlib import Path

from servers import Server

PATIENCE = 60
CLICKHOUSE_CLIENT = """#!{python}
import ctypes, os, sys
library = ctypes.CDLL({library!r}, mode=os.RTLD_NOW | os.RTLD_GLOBAL)
words = [b"clickhouse-client", *map(os.fsencode, sys.argv[1:])]
arguments = (ctypes.c_char_p * (len(words) + 1))(*words, None)
os._exit(library._Z25mainEntryClickHouseClientiPPc(len(words), arguments) & 255)
"""
"""The client, which is in the same library as the server; chdb, whose library that is, prints no answers."""


def own_client(server: Server, directory: Path, program: str = "") -> None:
    """Put a product's own client into a directory, under its usual name."""
    directory.mkdir(exist_ok=True)
    if server.engine == "clickhouse":
        _install(directory / "clickhouse-client", CLICKHOUSE_CLIENT.format(python=sys.executable, library=program))
    elif server.engine == "mysql":  # not MariaDB's of that name, and our own MySQL is kept from reading anybody's files
        own = Path(server.client_program)
        text = f'#!/bin/sh\nexec "{own}" "$@"\n'
        if own.name == "mysql-private":
            text = re.sub(r"--no-defaults ('.*') (\"\$@\")", r"\2 \1", own.read_text())
        _install(directory / "mysql", text)


def _install(program: Path, text: str) -> None:
    program.write_text(text)
    program.chmod(0o700)


def in_terminal(words: list[str], home: Path, path: str, typed: str | None) -> tuple[int, str]:
    """Run a program in a terminal; return its exit code, and what it said. `typed` answers the first question."""
    environment = {"PATH": path, "HOME": str(home), "LC_ALL": "C.UTF-8", "TERM": "dumb"}
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            os.chdir(home)
            os.execvpe(words[0], words, environment)
        finally:
            os._exit(127)
    said = _converse(terminal, typed)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)
    return code, said


def _converse(terminal: int, typed: str | None) -> str:
    """Read what a terminal shows until its program ends, and answer the first question."""
    said, deadline = b"", time.monotonic() + PATIENCE
    shown = select.poll()  # `select.select` knows files up to number 1023 only
    shown.register(terminal, select.POLLIN)
    while time.monotonic() < deadline:
        if not shown.poll(1000):
            continue
        try:
            data = os.read(terminal, 4096)
        except OSError:  # the other side is closed
            break
        if not data:
            break
        said += data
        if typed is not None and b"assword" in said:
            while termios.tcgetattr(terminal)[3] & termios.ECHO and time.monotonic() < deadline:
                time.sleep(0.01)  # what comes before the program has turned that off may be lost
            os.write(terminal, f"{typed}\n".encode())
            typed = None
    return said.decode(errors="replace")
