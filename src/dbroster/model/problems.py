"""What a person has to mend."""

from typing import NamedTuple


class Problem(NamedTuple):
    """Something that a person has to mend, with the place where it stands; a warning does not raise the exit code."""

    text: str
    file: str | None = None
    line: int | None = None
    user: str | None = None
    warning: bool = False
