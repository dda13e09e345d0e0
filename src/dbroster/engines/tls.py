"""TLS as connections.yaml asks for it, for the drivers that take Python's own context."""

import ssl

from dbroster.model.connection import Tls


def context(tls: Tls) -> ssl.SSLContext | None:
    """None leaves it to driver and server: no verification is asked for. A context makes encryption a must."""
    if tls.mode in (None, "disable"):
        return None
    # not create_default_context: it writes what opens all that is sent into a file that SSLKEYLOGFILE names, and its
    # strict check asks for extensions that servers leave out of the certificates that they make for themselves
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if tls.ca:
        made.load_verify_locations(tls.ca)
    else:
        made.load_default_certs()
    made.check_hostname = tls.mode == "verify-full"
    if tls.mode == "require":
        made.verify_mode = ssl.CERT_NONE
    if tls.cert:
        made.load_cert_chain(tls.cert, tls.key)
    return made
