"""The usual Ansible playbooks for the same job, in a virtual environment of their own below the cache directory."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median

import servers
from benchmarks import raw
from benchmarks.engines import Engine, Roster
from benchmarks.life import Tell, world
from benchmarks.site import roster
from servers.template import cache_directory

PLAYBOOKS = {"postgresql": "pg.yml", "mysql": "my.yml", "mariadb": "my.yml", "mongodb": "mg.yml"}
PACKAGES = ["ansible", "mitogen", "psycopg2-binary", "PyMySQL[rsa]", "pymongo"]
_HERE = Path(__file__).parent / "ansible"
_FIND_MITOGEN = "import ansible_mitogen, pathlib; print(pathlib.Path(ansible_mitogen.__file__).parent)"


def install(tell: Tell) -> Path:
    """Make the virtual environment if it is not there, and return its directory of programs."""
    programs = cache_directory() / "ansible" / "venv" / "bin"
    if not (programs / "ansible-playbook").exists():
        tell("installing Ansible")
        subprocess.run([sys.executable, "-m", "venv", programs.parent], check=True)
        subprocess.run([programs / "pip", "install", "--quiet", *PACKAGES], check=True)
    return programs


def measure(engine: Engine, users: int, tell: Tell, *, mitogen: bool = False) -> dict[str, float]:
    """Seconds of dbroster and of the playbook, each on a server of its own: first run and no-op.

    Each once, but dbroster's no-op, which takes next to nothing, five times."""
    programs, wanted, found = install(tell), roster(users), {}
    with world(engine) as (server, site):
        site.roster(wanted)
        found["dbroster first"] = site.run().seconds
        site.run()
        found["dbroster no-op"] = median(site.run().seconds for _ in range(5))
        raw.remove(engine, server, list(wanted), raw.SESSIONS)
        for phase in ("first", "no-op"):
            found[f"ansible {phase}"] = _play(programs, engine, server, wanted, mitogen=mitogen)
            tell(f"{engine.name} {users} ansible {phase}, mitogen {mitogen}: {found}")
    return found


def _play(programs: Path, engine: Engine, server: servers.Server, wanted: Roster, *, mitogen: bool) -> float:
    directory = server.directory or Path()
    variables = directory / "variables.json"
    variables.touch(mode=0o600)
    variables.write_text(json.dumps(_variables(engine, server, wanted)))
    command = [
        str(programs / "ansible-playbook"), "-i", str(_HERE / "inventory.ini"), str(_HERE / PLAYBOOKS[engine.name]),
        "-e", f"@{variables}", "-e", f"ansible_python_interpreter={programs / 'python'}",
    ]  # fmt: skip
    began = time.perf_counter()
    done = subprocess.run(
        command, env=_environment(programs, directory, mitogen=mitogen), capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    return seconds


def _variables(engine: Engine, server: servers.Server, wanted: Roster) -> Mapping[str, object]:
    users = [
        {"name": name, "password": password, "roles": [
            {"db": database, "role": role} for database in engine.databases(name) for role in ("readWrite", "dbAdmin")
        ]} for name, password in wanted.items()
    ]  # fmt: skip
    login = {"db_port": server.port, "admin_user": server.admin_user, "admin_pw": server.admin_password}
    style = {"mysql": {"my_style": "salted"}, "mariadb": {"my_style": "password"}}.get(engine.name, {})
    return {**login, **style, "templates": list(engine.templates), "users": users}


def _environment(programs: Path, home: Path, *, mitogen: bool) -> dict[str, str]:
    environment = {
        "PATH": f"{programs}:{os.environ.get('PATH', os.defpath)}", "HOME": str(home), "LC_ALL": "C.UTF-8",
        "ANSIBLE_CONFIG": str(_HERE / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOME": str(home / "ansible"),
    }  # fmt: skip
    if mitogen:
        found = subprocess.run([programs / "python", "-c", _FIND_MITOGEN], capture_output=True, text=True, check=True)
        plugins = f"{found.stdout.strip()}/plugins/strategy"
        environment |= {"ANSIBLE_STRATEGY_PLUGINS": plugins, "ANSIBLE_STRATEGY": "mitogen_linear"}
    return environment
