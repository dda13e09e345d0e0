"""Running the script while its command lines and environments, and those of its children, are read all the time."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.site import ROOT, Run, Site
from tests.support.proxy import Proxy

FAULT = """
import sys
sys.path.insert(0, {src!r})
from dbroster.run import apply
def fail(self, chunk):
    raise RuntimeError("made by a test: " + " ".join(action.password.reveal() for action in chunk if action.password))
apply.Apply._persist = fail
from dbroster.cli.main import main
if __name__ == "__main__":
    sys.exit(main(engine={engine!r}))
"""
"""A defect at the worst place: its message holds passwords in clear, and so do the frames of its traceback."""


class Watched:
    """Runs of one site's script, with a temporary directory of their own; `seen` is what /proc showed of them."""

    def __init__(self, site: Site, temporary: Path) -> None:
        self.site = site
        self.temporary = temporary
        self.seen: set[bytes] = set()
        self.runs: list[Run] = []
        temporary.mkdir()

    def run(self, *options: str) -> Run:
        """Run the script."""
        return self._run([str(ROOT / "scripts" / f"{self.site.adapter.engine}_sync.py")], options)

    def run_verb(self, verb: str, *options: str, stdin: str = "") -> Run:
        """Run `dbroster VERB`, with a text on its standard input."""
        return self._run(["-m", "dbroster", verb], options, stdin)

    def run_with_a_defect(self, *options: str) -> Run:
        """Run the same with a part that raises what it should not."""
        code = FAULT.format(src=str(ROOT / "src"), engine=self.site.adapter.engine)
        return self._run(["-c", code], options)

    def _run(self, program: list[str], options: tuple[str, ...], stdin: str = "") -> Run:
        command = [sys.executable, *program, "--config", str(self.site.directory), *options]
        environment = {"TMPDIR": str(self.temporary), "PATH": os.environ["PATH"]}
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            done = threading.Event()
            watcher = threading.Thread(target=self._watch, args=(process.pid, done))
            watcher.start()
            out, err = process.communicate(stdin, timeout=120)
            done.set()
            watcher.join()
        self.runs.append(Run(process.returncode, out, err))
        return self.runs[-1]

    def _watch(self, pid: int, done: threading.Event) -> None:
        while not done.wait(0.002):
            for process in _descendants(pid):
                for name in ("cmdline", "environ"):
                    with contextlib.suppress(OSError):
                        self.seen.add(Path(f"/proc/{process}/{name}").read_bytes())

    def said(self) -> dict[str, bytes]:
        """Everything that dbroster has said or written."""
        said = {f"output {number}": (run.out + run.err).encode() for number, run in enumerate(self.runs)}
        own = [path for path in self.site.directory.rglob("*") if path.is_file()]
        written = [path for path in own if path.name not in ("users.txt", "connections.yaml")]
        written += [path for path in self.temporary.rglob("*") if path.is_file()]
        return said | {f"the file {path.name}": path.read_bytes() for path in written}

    def showed(self) -> dict[str, bytes]:
        """What /proc showed to root and to the same account."""
        return {f"process list {number}": text for number, text in enumerate(sorted(self.seen))}


class Recorder(Proxy):
    """A relay that keeps everything that clients send."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port, None)
        self.heard = bytearray()

    def _messages_of(self, client: socket.socket) -> Iterator[bytes]:
        for message in super()._messages_of(client):
            self.heard += message
            yield message


def _descendants(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _descendants(int(child))
