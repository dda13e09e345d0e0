"""The address of a server, as a section says it."""

import re

from dbroster.config.server_keys import ServerKeys
from dbroster.model.connection import EngineOptions
from dbroster.model.loopback import is_address, is_loopback
from dbroster.settings.section import ConfigSection

_HOST = re.compile(r"[^\s,:/@\[\]?#=]+")
_WITH_PORT = re.compile(r"(\[[^\[\]]+\]|[^:/@\[\]]+):(\d+)", re.ASCII)


def host_of(section: ConfigSection, options: EngineOptions) -> str:
    """Return `host`; where another key stands for it, the host in there that is farthest away."""
    instead = options.instead_of_host
    if instead is None:
        return one_host(section)
    if section.value(instead) is None:
        if section.value("host") is None:
            section.problem("host", f"one of host and {instead} must be set")
            return ""
        return one_host(section)
    for key in ("host", "port"):
        if section.value(key) is not None:
            section.problem(key, f"can't be set beside {instead}, which names hosts and ports itself")
    hosts = options.named_hosts or [""]
    return next((host for host in hosts if not is_loopback(host)), hosts[0])


def one_host(section: ConfigSection) -> str:
    """Return `host`: one name, address or socket, without a port; drivers take more, and then choose by themselves."""
    host = ServerKeys.host.read(section)
    if not host or host.startswith("/"):
        if not host and isinstance(section.value("host"), str):
            section.problem("host", "must not be empty")
        return host
    if is_address(host):
        return host
    if with_port := _WITH_PORT.fullmatch(host):
        section.problem(
            "host", f"must not contain a port; set host: {with_port[1].strip('[]')} and port: {with_port[2]}"
        )
    elif "://" in host:
        section.problem("host", "expected a name or an address, without a scheme like https://")
    elif not _HOST.fullmatch(host):
        section.problem("host", "expected one name, address (IPv6 without brackets) or path of a socket")
    return host
