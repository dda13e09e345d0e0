"""TLS as connections.yaml asks for it, for the drivers that take Python's own context."""

import ssl

from dbroster.config import Tls


def context(tls: Tls) -> ssl.SSLContext | None:
    """None leaves it to driver and server: no verification is asked for. A context makes encryption a must."""
    if tls.mode in (None, "disable"):
        return None
    made = ssl.create_default_context(cafile=tls.ca)
    # servers make their own certificates without the extensions that the strict check asks for
    made.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", ssl.VerifyFlags(0))
    made.check_hostname = tls.mode == "verify-full"
    if tls.mode == "require":
        made.verify_mode = ssl.CERT_NONE
    if tls.cert:
        made.load_cert_chain(tls.cert, tls.key)
    return made
