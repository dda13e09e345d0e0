"""Make a program that was linked with libcurl's symbols CURL_OPENSSL_3 ask for CURL_OPENSSL_4 instead.

Debian renamed the version of libcurl's symbols when it went from OpenSSL 1.0 to 1.1; the functions stayed the same. The
name stands twice in a program: in its table of names, and as a hash in the list of versions that it needs.
Source: System V Application Binary Interface, "Hash Table"; Linux Standard Base, "Symbol Versioning".
"""

import struct
import sys
from pathlib import Path

OLD, NEW = b"CURL_OPENSSL_3", b"CURL_OPENSSL_4"


def hashed(name: bytes) -> int:
    """The hash of a name in an ELF file."""
    value = 0
    for byte in name:
        value = (value << 4) + byte
        value = (value ^ (value & 0xF0000000) >> 24) & 0x0FFFFFFF
    return value


def main(path: Path) -> None:
    """Rewrite the program; raises SystemExit unless name and hash stand in it exactly once."""
    content = path.read_bytes()
    pairs = ((b"\0" + OLD + b"\0", b"\0" + NEW + b"\0"), (needed(OLD), needed(NEW)))
    for old, new in pairs:
        if content.count(old) != 1:
            raise SystemExit(f"{path} is not the program that this was made for")
        content = content.replace(old, new)
    path.write_bytes(content)


def needed(name: bytes) -> bytes:
    """How an entry of the list of needed versions begins: hash, then no flags."""
    return struct.pack("<IH", hashed(name), 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
