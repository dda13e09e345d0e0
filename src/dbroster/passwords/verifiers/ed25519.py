"""Ed25519 public keys (RFC 8032 section 5.1) of passwords, as MariaDB's ed25519 plugin stores them.

Common libraries take seeds of 32 bytes only, and MariaDB takes the password as the seed: so the scalar is made here,
and multiplied by PyNaCl where that is installed (it comes with PyMySQL's extra `ed25519`), else in pure Python. That
does not run in constant time; the password file that it serves lies on the same machine.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from functools import cache

_PRIME = 2**255 - 19
_D = -121665 * pow(121666, -1, _PRIME) % _PRIME
_BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202
_BASE_Y = 4 * pow(5, -1, _PRIME) % _PRIME
_WINDOW = 4  # bits
_STORED = re.compile(r"[A-Za-z0-9+/]{43}")

_Point = tuple[int, int, int, int]  # extended coordinates X, Y, Z, T: x = X/Z, y = Y/Z, x*y = T/Z
_NEUTRAL: _Point = (0, 1, 1, 0)
_BASE: _Point = (_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % _PRIME)


def ed25519(password: bytes) -> str:
    """Return the 43 characters for `IDENTIFIED VIA ed25519 USING '...'`.

    Raises ValueError for an empty password. Source: MariaDB documentation, "Authentication Plugin - ed25519".
    """
    if not password:
        raise ValueError("a password must not be empty")
    return _public_key(password)


def ed25519_matches(password: bytes, stored: str) -> bool | None:
    """Say whether an ed25519 authentication_string is of this password."""
    if _STORED.fullmatch(stored) is None:
        return None
    return hmac.compare_digest(_public_key(password), stored)


def _public_key(seed: bytes) -> str:
    scalar = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little")
    scalar = (scalar & ((1 << 254) - 8)) | (1 << 254)  # RFC 8032 5.1.5: multiple of 8, highest bit fixed
    multiply = sodium() or times_base
    return base64.b64encode(multiply(scalar.to_bytes(32, "little"))).decode().rstrip("=")


@cache
def sodium() -> Callable[[bytes], bytes] | None:
    """Return libsodium's multiplication of the base point by a scalar of 32 bytes; None without PyNaCl."""
    try:
        from nacl.bindings import crypto_scalarmult_ed25519_base_noclamp
    except ImportError:
        return None
    multiply: Callable[[bytes], bytes] = crypto_scalarmult_ed25519_base_noclamp
    return multiply


def times_base(scalar: bytes) -> bytes:
    """Return the base point times a scalar of 32 bytes, without any library."""
    return _encoded(_times_base(int.from_bytes(scalar, "little")))


def _times_base(scalar: int) -> _Point:
    """Add one table entry per four bits of the scalar; no doubling is left to do."""
    point = _NEUTRAL
    for row in _table():
        point = _add(point, row[scalar & ((1 << _WINDOW) - 1)])
        scalar >>= _WINDOW
    return point


@cache
def _table() -> list[list[_Point]]:
    """Multiples 0 to 15 of the base point times every power of 16; made on first use."""
    rows = []
    step = _BASE
    for _ in range(256 // _WINDOW):
        row = [_NEUTRAL]
        for _ in range((1 << _WINDOW) - 1):
            row.append(_add(row[-1], step))
        rows.append(row)
        step = _add(row[-1], step)
    return rows


def _add(left: _Point, right: _Point) -> _Point:
    """Complete addition on the twisted Edwards curve (RFC 8032 section 5.1.4)."""
    x1, y1, z1, t1 = left
    x2, y2, z2, t2 = right
    a = (y1 - x1) * (y2 - x2) % _PRIME
    b = (y1 + x1) * (y2 + x2) % _PRIME
    c = 2 * t1 * t2 * _D % _PRIME
    d = 2 * z1 * z2 % _PRIME
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _PRIME, g * h % _PRIME, f * g % _PRIME, e * h % _PRIME


def _encoded(point: _Point) -> bytes:
    """The y coordinate with the sign of x in its highest bit."""
    inverse = pow(point[2], -1, _PRIME)
    x, y = point[0] * inverse % _PRIME, point[1] * inverse % _PRIME
    return (y | ((x & 1) << 255)).to_bytes(32, "little")
