"""Parts of URIs: what the products' handouts have in common."""

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from dbroster.model.way import Visitor


def encoded(text: str) -> str:
    """Return a text with everything encoded that could end it in a URI."""
    return quote(text, safe="")


def login(visitor: Visitor) -> str:
    """Return user and password as they stand before the host, with the @."""
    password = f":{encoded(visitor.password.reveal())}" if visitor.password else ""
    return f"{encoded(visitor.user)}{password}@"


def place(host: str, port: int) -> str:
    """Return host and port, with brackets around an IPv6 address."""
    return f"[{encoded_address(host)}]:{port}" if ":" in host else f"{encoded(host)}:{port}"


def encoded_address(host: str) -> str:
    """Return an IPv6 address; what follows its % is a name of an interface."""
    return quote(host, safe=":")


def query(values: Mapping[str, str | None]) -> str:
    """Return the values that there are, with the ? before them."""
    found = {key: value for key, value in values.items() if value}
    return f"?{urlencode(found, quote_via=quote, safe='')}" if found else ""
