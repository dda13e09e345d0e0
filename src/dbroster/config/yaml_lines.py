"""YAML from bytes to plain values, with the line of each key; nothing that a document can do takes long, or much room.

Aliases cost nothing, since values are shared. Merge keys (`<<`) are copied, so they are counted before.
"""

from collections.abc import Iterator
from typing import Any

import yaml

from dbroster.settings.section import Path

MOST_KEYS = 10_000


class Document:
    """A parsed YAML document: its value, the line of each key, and the keys that stand twice in one mapping.

    Raises yaml.YAMLError, RecursionError, and what PyYAML lets out for values that don't fit their tag.
    """

    def __init__(self, text: str) -> None:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            self.lines: dict[Path, int]
            self.repeated: list[tuple[Path, int]]
            self.lines, self.repeated = find_lines(node)
            if node is not None:
                _Merges().weigh(node)
            self.value: Any = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()


class _Merges:
    """Counts the keys that mappings have once their merge keys are copied into them."""

    def __init__(self) -> None:
        self._weights: dict[yaml.Node, int] = {}

    def weigh(self, node: yaml.Node) -> None:
        """Look at every mapping of a document. Raises YAMLError when one of them grows too large."""
        parts, seen = [node], set()
        while parts:
            part = parts.pop()
            if part in seen:
                continue
            seen.add(part)
            if isinstance(part, yaml.MappingNode):
                self._keys(part)
                parts += [side for pair in part.value for side in pair]
            elif isinstance(part, yaml.SequenceNode):
                parts += part.value

    def _keys(self, node: yaml.Node) -> int:
        if not isinstance(node, yaml.MappingNode):
            return 0
        if node not in self._weights:
            self._weights[node] = MOST_KEYS + 1  # found again below itself, it has no end
            self._weights[node] = sum(self._keys_of(key, value) for key, value in node.value)
        if self._weights[node] > MOST_KEYS:
            raise yaml.constructor.ConstructorError(None, None, "a mapping has too many merged keys", node.start_mark)
        return self._weights[node]

    def _keys_of(self, key: yaml.Node, value: yaml.Node) -> int:
        if key.tag != "tag:yaml.org,2002:merge":
            return 1
        parts = value.value if isinstance(value, yaml.SequenceNode) else [value]
        return sum(self._keys(part) for part in parts)


def find_lines(node: yaml.Node | None) -> tuple[dict[Path, int], list[tuple[Path, int]]]:
    """Map each key's path in a YAML document to its line, and list the keys that stand twice in one mapping."""
    lines: dict[Path, int] = {}
    repeated: list[tuple[Path, int]] = []
    seen: set[yaml.Node] = set()  # an alias may point at its own parent, and many aliases at one part

    def walk(part: yaml.Node | None, path: Path) -> None:
        if part in seen or not isinstance(part, yaml.CollectionNode):
            return
        seen.add(part)
        for key, line, value in _entries(part):
            if (*path, key) in lines:
                repeated.append(((*path, key), line))
            lines[(*path, key)] = line
            walk(value, (*path, key))

    walk(node, ())
    return lines, repeated


def _entries(part: yaml.CollectionNode) -> Iterator[tuple[str | int, int, yaml.Node]]:
    if isinstance(part, yaml.MappingNode):
        for key, value in part.value:
            name = (
                key.value if isinstance(key, yaml.ScalarNode) else "?"
            )  # of others Python would write out all aliases
            yield name, key.start_mark.line + 1, value
    else:
        for index, value in enumerate(part.value):
            yield index, value.start_mark.line + 1, value
