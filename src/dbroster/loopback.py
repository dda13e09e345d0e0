"""Which hosts are this machine."""

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Whether nobody outside this machine can listen on the way to a host (a path is a socket)."""
    if host == "localhost" or host.startswith("/"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False  # a name; `localhost.example.com` and `127.example.com` are other machines
