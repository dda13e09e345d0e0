"""The files of the native clients: one of each kind for all databases."""

from collections.abc import Mapping, Sequence

from dbroster.model.way import Way


def client_files(ways: Sequence[Way]) -> Mapping[str, str]:
    """Return the texts by the files' names; what several databases have in common stands in them once."""
    parts: dict[str, list[str]] = {}
    for way in ways:
        if way.file and way.file.text not in parts.setdefault(way.file.name, []):
            parts[way.file.name].append(way.file.text)
    return {name: "".join(texts) for name, texts in parts.items()}
