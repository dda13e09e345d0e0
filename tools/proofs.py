"""Write docs/proofs.md: which test proves which invariant, and keeps which fault from coming back (`make proofs`)."""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "proofs.md"
_IDS = re.compile(r"(?:[A-EGJ-NPQSTUVWXYZ]\d+(?:, )?)+(?=:)")
_INVARIANT = re.compile(r"test_invariants?_(\d+(?:_and_\d+)*)_")

HEAD = """\
# Proofs

Which tests prove what. `make proofs` writes this page from the tests; [safety.md](safety.md) explains the rules. A test
in `tests/contract` runs on every engine, and so does one in `tests/e2e`, `tests/kill`, `tests/secrecy` and
`tests/attack`; `tests/unit` needs no server. What no product has a part in (`on_one_product`) runs on one of them, and
in `make soak` on all.
"""


def main() -> None:
    """Write the page."""
    sys.path.insert(0, str(ROOT))
    PAGE.write_text(page())


def page() -> str:
    """Return the page that belongs to the tests as they are."""
    from tools.register import FAULTS, INVARIANTS, TOPICS

    proofs = collected()
    files = {name: (file, name) for file, name in existing()}
    parts = [HEAD, "## Invariants\n"]
    parts += [_entry(f"{number}. {text}", proofs[str(number)]) for number, text in INVARIANTS.items()]
    parts.append("## Faults that must not come back\n")
    parts += [_entry(f"{fault}. {text}", proofs[fault]) for fault, text in FAULTS.items()]
    parts.append("## What safety.md explains besides\n")
    parts += [_entry(topic, [files[name] for name in names]) for topic, names in TOPICS.items()]
    return "\n".join(parts)


def _entry(title: str, tests: list[tuple[str, str]]) -> str:
    files: defaultdict[str, list[str]] = defaultdict(list)
    for file, name in sorted(tests):
        files[file].append(f"`{name}`")
    lines = [f"* [{file}](../{file}): {', '.join(names)}" for file, names in files.items()]
    return "\n".join([f"### {title}\n", *(lines or ["* no test"]), ""])


def collected() -> defaultdict[str, list[tuple[str, str]]]:
    """Return (file, test) by the number of an invariant or the id of a fault."""
    proofs: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for file, test in _found():
        for proven in _proven(test):
            proofs[proven].append((file, test.name))
    return proofs


def existing() -> list[tuple[str, str]]:
    """Return (file, name) of every test."""
    return [(file, test.name) for file, test in _found()]


@cache
def _found() -> tuple[tuple[str, ast.FunctionDef], ...]:
    paths = sorted((ROOT / "tests").rglob("*.py"))
    texts = ((path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in paths)
    return tuple((file, test) for file, text in texts for test in _tests(ast.parse(text)))


def _tests(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    yield from (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name.startswith("test_"))


def _proven(test: ast.FunctionDef) -> Iterator[str]:
    if by_name := _INVARIANT.match(test.name):
        yield from by_name[1].split("_and_")
    if by_docstring := _IDS.match(ast.get_docstring(test) or ""):
        yield from by_docstring[0].split(", ")


if __name__ == "__main__":
    main()
