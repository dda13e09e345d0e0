"""Whose a session is where accounts of one name differ by their hosts: the server tells its client only. Pure."""

import ipaddress
import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_NETWORK, _EXACT = 500, 1000


class Hosts(NamedTuple):
    """The hosts of the accounts of one name: ours, and those that are none of ours."""

    ours: set[str]
    others: set[str]

    def has_client(self, client: str) -> bool:
        """Whether a session from there is of an account of ours for sure; the server takes the most specific host."""
        names = _names(client)
        others = [_weight(host) for host in self.others if _fits(host, names) is not False]
        ours = [_weight(host) for host in self.ours if _fits(host, names)]
        return not others or bool(ours and max(ours) > max(others))


def _names(client: str) -> tuple[str, ...]:
    """The host in `host:port` of a process list, and what else a server calls it."""
    host = re.sub(r":\d+$", "", client).lower()
    return _LOOPBACK if host == "localhost" else (host,)


def _weight(host: str) -> int:
    wild = re.search(r"[%_]", host)
    return _NETWORK if "/" in host else wild.start() if wild else _EXACT


def _fits(host: str, names: Collection[str]) -> bool | None:
    """Whether a client is one of an account's host; None where a name stands for an address that nobody tells."""
    if host == "%" or any(_expression(host).fullmatch(name) for name in names):
        return True
    addresses = list(_addresses(names))
    if "/" in host:
        return any(_is_in(address, host) for address in addresses) if addresses else None
    is_name = re.search(r"[g-z]", host)
    return False if is_name or addresses else None


def _addresses(names: Collection[str]) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    for name in names:
        try:
            yield ipaddress.ip_address(name)
        except ValueError:
            continue


def _is_in(address: ipaddress.IPv4Address | ipaddress.IPv6Address, network: str) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:  # a mask with gaps
        return True


def _expression(host: str) -> re.Pattern[str]:
    wild = {"%": ".*", "_": "."}
    return re.compile("".join(wild.get(sign, re.escape(sign)) for sign in host))
