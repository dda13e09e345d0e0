"""The process that `warm` starts: it has imported all of dbroster, and forks itself for each order.

Nothing of the tests is imported here, and no thread is started: what is forked is as good as new.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

_ORDER = 1 << 20
_FILES = 3  # standard output, standard error, and where to tell how it ended


def import_everything() -> None:
    """Import every module, and by that each driver; what is there already does not change from here on."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
    import dbroster

    for module in pkgutil.walk_packages(dbroster.__path__, "dbroster."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    gc.freeze()


def serve(orders: socket.socket) -> dict[str, Any]:
    """Fork for each order. Return in what was forked only, with its order."""
    told: dict[int, tuple[int, int]] = {}  # a process and where to tell of it, by a file that is readable at its end
    while True:
        for ready in select.select([orders.fileno(), *told], [], [])[0]:
            if ready in told:
                _tell(ready, *told.pop(ready))
                continue
            data, files, _, _ = socket.recv_fds(orders, _ORDER, _FILES)
            if not data:
                sys.exit()
            pid = os.fork()
            if not pid:
                _become(files, [orders.detach(), *told, *(where for _, where in told.values())])
                order: dict[str, Any] = json.loads(data)
                return order
            for file in files[:2]:
                os.close(file)
            os.write(files[2], str(pid).encode())
            told[os.pidfd_open(pid)] = pid, files[2]


def _tell(handle: int, pid: int, where: int) -> None:
    os.close(handle)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with contextlib.suppress(OSError):  # nobody wants to know any more
        os.write(where, str(code).encode())
    os.close(where)


def _become(files: list[int], others: list[int]) -> None:
    """Take the files of an order as standard output and error, and leave all others."""
    for number, file in enumerate(files[:2], 1):
        os.dup2(file, number)
    for file in (*files, *others):
        os.close(file)


def run(program: list[str], environment: dict[str, str], directory: str) -> None:
    """Do as Python does that is started with these words."""
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(directory)
    try:
        _run(program)
    except SystemExit as ended:
        if isinstance(ended.code, int):
            _end(ended.code)
        raise


def _run(program: list[str]) -> None:
    if program[0] == "-m":
        sys.argv = program[1:]
        runpy.run_module(program[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = program
        runpy.run_path(program[0], run_name="__main__")


def _end(code: int) -> NoReturn:
    """End as Python does, but leave the memory as it is: to clear it away takes ten times as long as to fork."""
    threading._shutdown()  # type: ignore[attr-defined]  # wait for threads
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code & 255)


if __name__ == "__main__":
    import_everything()
    run(**serve(socket.socket(fileno=int(sys.argv[1]))))
