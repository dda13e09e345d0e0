"""Kinds of keys: each key has its default, its meaning and its check in one place.

From them come what a run reads, and what `make reference` writes: tables in docs/configuration.md, and
docs/connections.schema.json.
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, Self, TypeVar, overload

from dbroster.model.names import did_you_mean
from dbroster.settings.section import ConfigSection, sendable

T = TypeVar("T")
_LABEL, _MOST_LABEL = "[A-Za-z0-9][A-Za-z0-9_-]*", 32
_REFERENCE: dict[str, Any] = {"type": "string", "pattern": r"\$\{\w+\}"}
"""What may stand for any text or number, by JSON schema."""


class Part:
    """One mapping of connections.yaml; its keys are the attributes of a subclass."""

    keys: ClassVar[Mapping[str, "Key[Any]"]] = {}


class Key(Generic[T]):
    """A key; of an object with options its value is read, by default what stands here.

    `meaning` is Markdown, for the documents; `shown` says there what the default is, where it is no plain value.
    """

    name = ""

    def __init__(self, default: T, meaning: str, *, shown: str | None = None) -> None:
        self.default = default
        self.meaning = meaning
        self.shown = shown

    def __set_name__(self, owner: Any, name: str) -> None:
        self.name = name
        owner.keys = {**owner.keys, name: self}

    @overload
    def __get__(self, instance: None, owner: object) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: object) -> T: ...
    def __get__(self, instance: object, owner: object) -> Self | T:
        return self if instance is None else self.default

    def read(self, section: ConfigSection) -> T:
        """Return the value that a section has, or the default; what is wrong is noted in the section."""
        raise NotImplementedError

    def schema(self) -> dict[str, Any]:
        """Say as JSON schema what the value may be."""
        raise NotImplementedError


class Text(Key[str]):
    """A text, in which `${NAME}` is replaced."""

    def read(self, section: ConfigSection) -> str:
        """Return the text."""
        return section.text(self.name, self.default)

    def schema(self) -> dict[str, Any]:
        """Any text."""
        return {"type": "string"}


class Needed(Text):
    """A text that must be there."""

    def __init__(self, meaning: str, *, shown: str = "must be set") -> None:
        super().__init__("", meaning, shown=shown)

    def read(self, section: ConfigSection) -> str:
        """Return the text."""
        return section.text(self.name)


class TextOrOff(Text):
    """A text, or `false` for none."""

    def read(self, section: ConfigSection) -> str:
        """Return the text; an empty one for `false`."""
        return "" if section.value(self.name) is False else super().read(section)

    def schema(self) -> dict[str, Any]:
        """Any text, or false."""
        return {"anyOf": [super().schema(), {"const": False}]}


class Label(Text):
    """A short name that may stand in markers and file names."""

    def read(self, section: ConfigSection) -> str:
        """Return the name."""
        value = super().read(section)
        if len(value) <= _MOST_LABEL and re.fullmatch(_LABEL, value, re.ASCII):
            return value
        section.problem(self.name, f"expected up to {_MOST_LABEL} letters, digits, _ and -")
        return self.default

    def schema(self) -> dict[str, Any]:
        """A name, or what the environment has for it."""
        return {"anyOf": [{"type": "string", "pattern": f"^{_LABEL}$", "maxLength": _MOST_LABEL}, _REFERENCE]}


class Choice(Text):
    """One of a few words."""

    def __init__(self, default: str, known: tuple[str, ...], meaning: str) -> None:
        super().__init__(default, meaning)
        self.known = known

    def read(self, section: ConfigSection) -> str:
        """Return the word."""
        value = super().read(section)
        if value in self.known:
            return value
        section.problem(self.name, f"expected one of {', '.join(self.known)}{did_you_mean(value, self.known)}")
        return self.default

    def schema(self) -> dict[str, Any]:
        """One of the words, or what the environment has for it."""
        return {"anyOf": [{"enum": [*self.known]}, _REFERENCE]}


class Number(Key[int]):
    """A whole number."""

    def __init__(self, default: int, low: int, high: int, meaning: str, *, shown: str | None = None) -> None:
        super().__init__(default, meaning, shown=shown)
        self.low, self.high = low, high

    def read(self, section: ConfigSection) -> int:
        """Return the number; `${NAME}` may stand for it."""
        value = section.value(self.name)
        if value is None:
            return self.default
        if isinstance(value, str):
            expanded = section.text(self.name)
            value = int(expanded) if re.fullmatch(r"-?\d{1,9}", expanded, re.ASCII) else None
        if isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high:
            return value
        section.problem(self.name, f"expected a whole number from {self.low} to {self.high}")
        return self.default

    def schema(self) -> dict[str, Any]:
        """A number between the two, as text where it is made of references."""
        number = {"type": "integer", "minimum": self.low, "maximum": self.high}
        return {"anyOf": [number, {"type": "string", "pattern": r"^-?\d{1,9}$|\$\{\w+\}"}]}


class Flag(Key[bool]):
    """True or false."""

    def read(self, section: ConfigSection) -> bool:
        """Return the flag."""
        value = section.value(self.name)
        if isinstance(value, bool):
            return value
        if value is not None:
            section.problem(self.name, "expected true or false")
        return self.default

    def schema(self) -> dict[str, Any]:
        """A boolean."""
        return {"type": "boolean"}


class Texts(Key[tuple[str, ...]]):
    """A list of texts; where there are some by default, an empty one makes no sense."""

    def read(self, section: ConfigSection) -> tuple[str, ...]:
        """Return the texts."""
        value = section.value(self.name)
        if value is None:
            return self.default
        if not isinstance(value, list) or not all(isinstance(i, str) and i and sendable(i) for i in value):
            section.problem(self.name, "expected a list of texts")
        elif self.default and not value:
            section.problem(self.name, "must not be empty")
        else:
            return tuple(value)
        return self.default

    def schema(self) -> dict[str, Any]:
        """A list of texts."""
        return {"type": "array", "items": self._item(), **({"minItems": 1} if self.default else {})}

    def _item(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1}


class KnownTexts(Texts):
    """A list of some known texts, whose case matters."""

    def __init__(
        self, default: tuple[str, ...], known: tuple[str, ...], meaning: str, *, shown: str | None = None
    ) -> None:
        super().__init__(default, meaning, shown=shown)
        self.known = known

    def read(self, section: ConfigSection) -> tuple[str, ...]:
        """Return the texts."""
        texts = tuple(map(self._spelled, super().read(section)))
        for text in texts:
            if text not in self.known:
                section.problem(self.name, f"unknown: {text}{did_you_mean(text, self.known)}")
        return texts

    def _spelled(self, text: str) -> str:
        return text

    def _item(self) -> dict[str, Any]:
        return {"enum": [*self.known]}


class Words(KnownTexts):
    """A list of some known words, in upper case whatever they are written in."""

    def _spelled(self, text: str) -> str:
        return text.upper()

    def _item(self) -> dict[str, Any]:
        return {"enum": [*self.known, *(word.lower() for word in self.known)]}


class Unread(Key[Any]):
    """A key with a meaning that only its reader knows, who takes what YAML gave."""

    def __init__(self, meaning: str, schema: Mapping[str, Any], *, shown: str | None = None) -> None:
        super().__init__(None, meaning, shown=shown)
        self._schema = schema

    def read(self, section: ConfigSection) -> Any:
        """Return what YAML gave."""
        return section.value(self.name)

    def schema(self) -> dict[str, Any]:
        """As it was said."""
        return {**self._schema}
