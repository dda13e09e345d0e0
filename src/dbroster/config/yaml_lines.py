"""YAML from bytes to plain values, with the line of each key; nothing that a document can do takes long, or much room.

Aliases cost nothing, since values are shared. Merge keys (`<<`) are copied, so they are counted before.
"""

from typing import Any

import yaml

from dbroster.config.typed_values import Path, find_lines

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
