"""Fifty servers in one connections.yaml: real ones, ports that nobody listens on, and ports that never answer."""

import socket
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import servers
from benchmarks.engines import ENGINES
from benchmarks.life import Tell
from benchmarks.site import Site, roster
from servers.process import free_port

REAL, REFUSING, SILENT = 24, 20, 6
TIMEOUT = 2


def measure(rounds: int, tell: Tell) -> dict[str, Any]:
    """A first run, no-ops of the real servers alone, of one alone, and of all fifty."""
    engine = ENGINES["postgresql"](["tools"])
    found: dict[str, list[float]] = {"first": [], "one": [], "real": [], "refusing": [], "silent": []}
    with ExitStack() as stack:
        tell(f"starting {REAL} servers")
        real = [
            engine.section(stack.enter_context(servers.PostgreSQL(options={"log_statement": "none"})))
            for _ in range(REAL)
        ]
        directory = stack.enter_context(TemporaryDirectory(prefix="dbroster-bench-"))
        silent = [stack.enter_context(_silent()) for _ in range(SILENT)]
        refusing = [{**real[0], "port": free_port()} for _ in range(REFUSING)]
        mute = [{**real[0], "port": sock.getsockname()[1], "connect_timeout": TIMEOUT} for sock in silent]
        site = Site(Path(directory), engine, real[0])
        site.roster(roster(3))
        found["first"].append(_run(site, real))
        for _ in range(rounds):
            found["one"].append(_run(site, real[:1]))
            found["real"].append(_run(site, real))
            found["refusing"].append(_run(site, real + refusing))
            found["silent"].append(_run(site, real + refusing + mute))
    tell(f"fleet: {found}")
    return found


def _silent() -> socket.socket:
    """A port whose connections are never taken."""
    return socket.create_server(("127.0.0.1", 0), backlog=0)


def _run(site: Site, sections: list[dict[str, Any]]) -> float:
    """Run all; the dead ones make the run fail, which is as it should be."""
    site.connect([{"name": f"s{number}", **section} for number, section in enumerate(sections)])
    began = time.perf_counter()
    site.run_many(expected=len(sections))
    return time.perf_counter() - began
