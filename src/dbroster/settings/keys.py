"""Kinds of keys: each key has its default, its meaning and its check in one place.

From them come what a run reads, and what `make reference` writes: tables in docs/configuration.md, and
docs/connections.schema.json.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Generic, Self, TypeVar, overload

from dbroster.model.names import did_you_mean
from dbroster.settings.section import LABEL, MOST_LABEL, Section

T = TypeVar("T")
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

    def read(self, section: Section) -> T:
        """Return the value that a section has, or the default; what is wrong is noted in the section."""
        raise NotImplementedError

    def schema(self) -> dict[str, Any]:
        """Say as JSON schema what the value may be."""
        raise NotImplementedError


class Text(Key[str]):
    """A text, in which `${NAME}` is replaced."""

    def read(self, section: Section) -> str:
        """Return the text."""
        return section.text(self.name, self.default)

    def schema(self) -> dict[str, Any]:
        """Any text."""
        return {"type": "string"}


class Needed(Text):
    """A text that must be there."""

    def __init__(self, meaning: str, *, shown: str = "must be set") -> None:
        super().__init__("", meaning, shown=shown)

    def read(self, section: Section) -> str:
        """Return the text."""
        return section.text(self.name)


class TextOrOff(Text):
    """A text, or `false` for none."""

    def read(self, section: Section) -> str:
        """Return the text; an empty one for `false`."""
        return "" if section.value(self.name) is False else super().read(section)

    def schema(self) -> dict[str, Any]:
        """Any text, or false."""
        return {"anyOf": [super().schema(), {"const": False}]}


class Label(Text):
    """A short name that may stand in markers and file names."""

    def read(self, section: Section) -> str:
        """Return the name."""
        return section.label(self.name, self.default)

    def schema(self) -> dict[str, Any]:
        """A name, or what the environment has for it."""
        return {"anyOf": [{"type": "string", "pattern": f"^{LABEL}$", "maxLength": MOST_LABEL}, _REFERENCE]}


class Choice(Text):
    """One of a few words."""

    def __init__(self, default: str, known: tuple[str, ...], meaning: str) -> None:
        super().__init__(default, meaning)
        self.known = known

    def read(self, section: Section) -> str:
        """Return the word."""
        return section.choice(self.name, self.default, self.known)

    def schema(self) -> dict[str, Any]:
        """One of the words, or what the environment has for it."""
        return {"anyOf": [{"enum": [*self.known]}, _REFERENCE]}


class Number(Key[int]):
    """A whole number."""

    def __init__(self, default: int, low: int, high: int, meaning: str, *, shown: str | None = None) -> None:
        super().__init__(default, meaning, shown=shown)
        self.low, self.high = low, high

    def read(self, section: Section) -> int:
        """Return the number."""
        return section.integer(self.name, self.default, self.low, self.high)

    def schema(self) -> dict[str, Any]:
        """A number between the two, as text where it is made of references."""
        number = {"type": "integer", "minimum": self.low, "maximum": self.high}
        return {"anyOf": [number, {"type": "string", "pattern": r"^-?\d{1,9}$|\$\{\w+\}"}]}


class Flag(Key[bool]):
    """True or false."""

    def read(self, section: Section) -> bool:
        """Return the flag."""
        return section.flag(self.name, default=self.default)

    def schema(self) -> dict[str, Any]:
        """A boolean."""
        return {"type": "boolean"}


class Texts(Key[tuple[str, ...]]):
    """A list of texts."""

    def read(self, section: Section) -> tuple[str, ...]:
        """Return the texts."""
        return section.texts(self.name, self.default)

    def schema(self) -> dict[str, Any]:
        """A list; where there are some by default, an empty one makes no sense."""
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

    def read(self, section: Section) -> tuple[str, ...]:
        """Return the texts."""
        texts = self._said(section)
        for text in texts:
            if text not in self.known:
                section.problem(self.name, f"unknown: {text}{did_you_mean(text, self.known)}")
        return texts

    def _said(self, section: Section) -> tuple[str, ...]:
        return section.texts(self.name, self.default)

    def _item(self) -> dict[str, Any]:
        return {"enum": [*self.known]}


class Words(KnownTexts):
    """A list of some known words, in upper case whatever they are written in."""

    def _said(self, section: Section) -> tuple[str, ...]:
        return tuple(word.upper() for word in section.texts(self.name, self.default))

    def _item(self) -> dict[str, Any]:
        return {"enum": [*self.known, *(word.lower() for word in self.known)]}


class Unread(Key[Any]):
    """A key with a meaning that only its reader knows, who takes what YAML gave."""

    def __init__(self, meaning: str, schema: Mapping[str, Any], *, shown: str | None = None) -> None:
        super().__init__(None, meaning, shown=shown)
        self._schema = schema

    def read(self, section: Section) -> Any:
        """Return what YAML gave."""
        return section.value(self.name)

    def schema(self) -> dict[str, Any]:
        """As it was said."""
        return {**self._schema}
