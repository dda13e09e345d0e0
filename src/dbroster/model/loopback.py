"""Which hosts are addresses, and which are this machine."""

_LOCAL = ("127.0.0.1", "::1")


def is_address(host: str) -> bool:
    """Whether a host is an IP address, and no name."""
    if host in _LOCAL:
        return True
    if ":" not in host and not host[-1:].isdigit():
        return False
    from ipaddress import ip_address  # few hosts need it, and its import takes a millisecond

    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether nobody outside this machine can listen on the way to a host (a path is a socket)."""
    if host in ("localhost", *_LOCAL) or host.startswith("/"):
        return True
    if not is_address(host):
        return False  # a name; `localhost.example.com` and `127.example.com` are other machines
    from ipaddress import ip_address

    return ip_address(host).is_loopback
