"""x."""
from servers.base import LocalServer


class ClickHouse(LocalServer):
    """x."""
