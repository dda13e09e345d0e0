"""The search itself finds what it should, or it would prove nothing."""

import base64
import json
from urllib.parse import quote

import pytest

from tests.secrecy.forms import leaks

SECRET = "Tell-Tale-77'\"\\%ä"
HIDDEN = {
    "plain": SECRET.encode(),
    "a part": SECRET[:13].encode(),
    "SQL": "IDENTIFIED BY 'Tell-Tale-77''\"\\%ä'".encode(),
    "JSON": json.dumps({"pwd": SECRET}).encode(),
    "a URL": f"https://bob:{quote(SECRET, safe='')}@host/".encode(),
    "HTTP Basic": base64.b64encode(f"bob:{SECRET}".encode()),
    "base64": base64.b64encode(b"\x01\x02" + SECRET.encode()),
    "hex": SECRET.encode().hex().encode(),
    "bytes": repr(SECRET.encode()).encode(),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_a_secret_is_found(name: str) -> None:
    assert leaks({"it": SECRET}, {"there": b"before " + HIDDEN[name] + b" after"})


def test_an_innocent_text_is_not_taken_for_a_secret() -> None:
    assert leaks({"it": SECRET}, {"there": b"Tell-Tale and more, but not the rest of it"}) == []
