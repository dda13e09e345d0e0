"""libFuzzer on one kind of file, until its time is over: python -m tests.soak.fuzzer KIND CORPUS [OPTIONS]."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory


def main() -> None:
    """Fuzz; an input that breaks something ends the process with libFuzzer's exit code and report."""
    import atheris

    with atheris.instrument_imports(include=["dbroster", "yaml"]):  # so nothing of dbroster may be imported before
        from tests.support.bad_stored import StoredTarget
    kind = sys.argv.pop(1)
    with TemporaryDirectory() as directory:
        target = StoredTarget(Path(directory))
        for number, seed in enumerate(target.seeds.get(kind, [])):  # only here are the keys that fit them
            Path(sys.argv[1], f"stored-{number}").write_bytes(seed)
        atheris.Setup(sys.argv, lambda data: target.attack(kind, data))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
