"""As much of ClickHouse's SQL as the stand-in has to read by itself: tokens, names, clauses."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class ServerError(Exception):
    """An answer that is an error, in the server's own words."""

    def __init__(self, code: int, name: str, text: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {text}. ({name})")
        self.code = code


def unknown(kind: str, name: str) -> ServerError:
    """The error for a user or role that is not there."""
    code, label = (192, "UNKNOWN_USER") if kind == "user" else (511, "UNKNOWN_ROLE")
    return ServerError(code, label, f"There is no {kind} `{name}` in `user directories`")


TOKEN = re.compile(
    r"(?P<space>\s+|--[^\n]*|#[ !][^\n]*|/\*.*?\*/)"
    r"|(?P<heredoc>\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)"
    r"|(?P<string>'(?:[^'\\]|\\.|'')*')"
    r"|(?P<quoted>`(?:[^`\\]|\\.|``)*`|\"(?:[^\"\\]|\\.|\"\")*\")"
    r"|(?P<word>\w+)"
    r"|(?P<punct>.)",
    re.DOTALL,
)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b", "f": "\f", "a": "\a", "v": "\v"}


@dataclass(frozen=True)
class Token:
    """One token and where it stands."""

    kind: str
    raw: str
    start: int

    @property
    def end(self) -> int:
        """Where the text after it begins."""
        return self.start + len(self.raw)

    @property
    def value(self) -> str:
        """The name or the text, without quotes and escapes."""
        if self.kind not in ("string", "quoted"):
            return self.raw
        body = self.raw[1:-1].replace(self.raw[0] * 2, self.raw[0])
        return re.sub(r"\\(.)", lambda m: ESCAPES.get(m[1], m[1]), body, flags=re.DOTALL)

    def is_word(self, *words: str) -> bool:
        """Whether it is one of these key words."""
        return self.kind == "word" and self.raw.upper() in words


Tokens = list[Token]


def tokenize(sql: str) -> Tokens:
    """Cut a statement into tokens, without comments and white space."""
    return [
        Token(m.lastgroup if m.lastgroup and m.lastgroup != "tag" else "heredoc", m[0], m.start())
        for m in TOKEN.finditer(sql)
        if m.lastgroup != "space"
    ]


def quote_string(text: str) -> str:
    """A string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def quote_name(name: str) -> str:
    """An identifier, quoted only where it must be."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        return name
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def string_list(values: Iterable[str]) -> str:
    """String literals with commas between them."""
    return ", ".join(map(quote_string, values))


def name_list(names: Iterable[str]) -> str:
    """Identifiers with commas between them."""
    return ", ".join(map(quote_name, names))


def split_commas(tokens: Tokens) -> list[Tokens]:
    """Cut at the commas that stand in no parentheses."""
    parts: list[Tokens] = [[]]
    depth = 0
    for token in tokens:
        depth += (token.raw == "(") - (token.raw == ")")
        if token.raw == "," and depth == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]


def names_of(tokens: Tokens) -> list[str]:
    """Names of users or roles: a, `b c`, 'd', e@'host' (which is one name, as in ClickHouse)."""
    names = []
    for part in split_commas(tokens):
        name = part[0].value
        if len(part) == 3 and part[1].raw == "@":
            name = name if part[2].value == "%" else f"{name}@{part[2].value}"
        names.append(name)
    return names


def starts_with(tokens: Sequence[Token], words: Sequence[str]) -> bool:
    """Whether the tokens begin with these key words."""
    return len(tokens) >= len(words) and all(token.is_word(word) for token, word in zip(tokens, words, strict=False))


def clauses(tokens: Tokens, keywords: Iterable[str]) -> tuple[Tokens, dict[str, Tokens]]:
    """Cut a token list at the given phrases of key words; returns what stands before them, and {phrase: tokens}."""
    phrases = sorted((keyword.split() for keyword in keywords), key=len, reverse=True)
    head: Tokens = []
    found: dict[str, Tokens] = {}
    current = head
    i = 0
    while i < len(tokens):
        phrase = next((phrase for phrase in phrases if starts_with(tokens[i : i + len(phrase)], phrase)), None)
        if phrase:
            current = found.setdefault(" ".join(phrase), [])
            i += len(phrase)
        else:
            current.append(tokens[i])
            i += 1
    return head, found


def text_of(sql: str, tokens: Tokens) -> str:
    """The piece of the statement that the tokens were cut from."""
    return sql[tokens[0].start : tokens[-1].end] if tokens else ""


def text_list(sql: str, tokens: Tokens) -> list[str]:
    """The pieces of the statement between commas."""
    return [text_of(sql, part) for part in split_commas(tokens)]
