"""Coverage-guided fuzzing of every file that dbroster reads, through the command line; `make soak` runs it.

DBROSTER_FUZZ_SECONDS is the time for each kind of file (60). libFuzzer works in a process of its own.
"""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Figure
from tests.support.bad_input import ANN, KINDS
from tests.support.bad_stored import STORED

SECONDS = int(os.environ.get("DBROSTER_FUZZ_SECONDS", "60"))
SEEDS = {
    "users": [ANN, b"# comment\r\n\r\nbob : x\nbob:y\n", b"\xef\xbb\xbfbob:\xc3\xa9:#x\n", b"no colon\n\xff\nBob:z \n"],
    "templates": [b"web\ndata\n", b"# comment\n -\nweb\n\xff"],
    "connections": [
        b"roster: team\npostgresql: {host: h, port: 1, username: u, password: ${HOME}, tls: {mode: require}}\n",
        b"postgresql:\n- &a {name: a, host: h, username: u, password_file: p, removals: {max: all, grace_days: 1}}\n"
        b"- {<<: *a, name: b, protected: [x], jobs: 2, password_policy: {forbidden: [y], classes: 1}}\n",
        b"postgresql: !!python/object/apply:os.system [x]\n",
        b"? [a, *b]\n: !!binary x\n--- \n- 1:1:1\n",
    ],
}
SLOWEST = 20
"""Seconds that one input may take, on a machine that is busy."""
MEGABYTES = 1024


@pytest.mark.timeout(SECONDS + 300)
@pytest.mark.parametrize("kind", [*KINDS, *STORED])
def test_no_input_breaks_the_command(kind: str, tmp_path: Path, figure: Figure) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.fail("the fuzzer is missing: .venv/bin/pip install atheris")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(SEEDS.get(kind, [])):
        (corpus / str(number)).write_bytes(seed)
    done = subprocess.run(
        [
            sys.executable, "-m", "tests.soak.fuzzer", kind, str(corpus), f"-max_total_time={SECONDS}",
            f"-timeout={SLOWEST}", f"-rss_limit_mb={MEGABYTES}", "-max_len=4096", "-print_final_stats=1",
            f"-artifact_prefix={tmp_path}/",
        ],
        capture_output=True, text=True, errors="replace", timeout=SECONDS + 240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    (tried,) = re.findall(r"stat::number_of_executed_units: +(\d+)", done.stderr)
    figure(f"{kind}: {tried} inputs in {SECONDS} s")
    assert int(tried) > SECONDS // 6  # it has really worked, whatever else the machine did
