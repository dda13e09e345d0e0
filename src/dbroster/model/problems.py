"""What a person has to mend."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that a person has to mend, with the place where it stands; a warning does not raise the exit code."""

    text: str
    file: str | None = None
    line: int | None = None
    user: str | None = None
    warning: bool = False
