"""The standard streams: full, closed, or read by nobody; a run does its work, and ends with its own exit code."""

import os
import sys
from contextlib import suppress
from typing import TextIO

_closed: set[int] = set()


def open_all() -> None:
    """Put /dev/null in the place of each stream that is closed, before any file gets its number.

    Texts that a stream's encoding lacks are written in escapes.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one
            _closed.add(number)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115 - for good
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # suppressed where it lacks it


def put(stream: TextIO, text: str) -> str | None:
    """Write a text, and return why it could not be; empty when the reader has gone away (`| head`)."""
    if _number(stream) in _closed:
        return "it is closed"
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        _silence(stream)
        return ""
    except (OSError, ValueError) as error:
        _silence(stream)
        return getattr(error, "strerror", None) or "it is closed"
    return None


def mutter(text: str) -> None:
    """Write to stderr what somebody should know; nobody is left to tell if that fails."""
    if sys.stderr is not None:
        put(sys.stderr, text)


def settle() -> None:
    """Let nothing be left for Python to write when it ends: that would replace the exit code."""
    for stream in (sys.stdout, sys.stderr):
        put(stream, "")


def _silence(stream: TextIO) -> None:
    """Let what is still buffered go nowhere, so that Python's own flush at exit succeeds."""
    number = _number(stream)
    if number is not None:
        with suppress(OSError):
            null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            os.dup2(null, number)
            os.close(null)


def _number(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None
