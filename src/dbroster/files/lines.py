"""Lines of the files that people write, and whether each of them is whole.

A line ends with LF or CRLF. Other programs end a line elsewhere, too; and a file that was cut, or glued together from
two, shows it at a line that has no end, or that holds what does not belong into a line. Such a line is in doubt: it
may be a part of a line, or two. Who reads it changes nobody on it and removes nothing in this run.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import NamedTuple

from dbroster.model.roster import AGE_FILE

BOM = b"\xef\xbb\xbf"

_FOREIGN = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]|\xef\xbb\xbf")
"""Control characters but for TAB, U+2028 and U+2029, and a byte order mark behind the beginning, in UTF-8."""

_USUAL = bytes(range(0x20, 0x7F)) + b"\t\n"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_FILES_OF_OTHERS = {
    AGE_FILE: "end it with dbroster edit",
    "users_command": "let the program end its output with a line end",
}


class Line(NamedTuple):
    """A line of a file without its end; `doubt` says why it may not be the whole line, or more than one."""

    number: int
    raw: bytes
    doubt: str | None = None


def significant(data: bytes, file: str, directory: Path = Path()) -> Iterator[Line]:
    """Return the lines that say something, and those in doubt even if they are blank or a comment."""
    wide = data.startswith(_UTF_16)
    *ended, rest = data.removeprefix(BOM).split(b"\n")
    unusual = bool(data.translate(None, _USUAL))  # a quick look at all of it: it may have a million lines
    for number, raw in enumerate(ended, start=1):
        line = raw.removesuffix(b"\r")
        doubt = _doubt(line, wide=wide and number == 1) if unusual else None
        if doubt or ((text := line.lstrip()) and not text.startswith(b"#")):
            yield Line(number, line, doubt)
    if rest:
        yield Line(len(ended) + 1, rest, without_end(file, directory))


def ends_whole(data: bytes) -> bool:
    """Whether a file is empty or its last line has an end; one that was cut at the end of a line looks whole."""
    return data.endswith(b"\n") or not data.removeprefix(BOM)


def without_end(file: str, directory: Path = Path()) -> str:
    """Say what is wrong with a last line that has no end, and how it is mended."""
    mend = _FILES_OF_OTHERS.get(file, f"end it with: echo >> {quote(str(directory / file))}")
    return f"the last line has no line end, so the file may have been cut here; if it is whole, {mend}"


def _doubt(line: bytes, *, wide: bool) -> str | None:
    if wide:
        return "the file begins like UTF-16; save it as UTF-8"
    found = _FOREIGN.search(line)
    if not found or not line.strip():  # white space alone hides nobody
        return None
    character = f"U+{ord(found[0].decode()):04X}"
    return f"the line holds {character}, where other programs may end a line or a file: is it two lines? Part them"
