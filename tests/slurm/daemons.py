"""Starting the lab's daemons. Each is left alone when it runs already."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import TypeVar

from echolm.errors import EchoLMError
from tests.slurm import processes
from tests.slurm.settings import Settings

T = TypeVar("T")
POLL_S = 0.1


def run(settings: Settings, *command: object, seconds: float = 60) -> str:
    """What a command of the lab prints. EchoLMError: it failed; with what it said."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        env=settings.environment(),
        capture_output=True,
        text=True,
        timeout=seconds,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise EchoLMError(
            f"{' '.join(words)} ended with status {done.returncode}: "
            f"{(done.stderr or done.stdout).strip()}"
        )
    return done.stdout


def succeeds(settings: Settings, *command: object, seconds: float = 10) -> bool:
    """Whether a command ends with status 0 within so many seconds."""
    try:
        run(settings, *command, seconds=seconds)
    except (EchoLMError, subprocess.TimeoutExpired):
        return False
    return True


def wait_for(ready: Callable[[], T], seconds: float, what: str) -> T:
    """The first true answer of ``ready()``. TimeoutError: none within so many seconds."""
    end = time.monotonic() + seconds
    while not (answer := ready()):
        if time.monotonic() > end:
            raise TimeoutError(f"after {seconds:g} s: no {what}")
        time.sleep(POLL_S)
    return answer


def start(settings: Settings, name: str, ready: Callable[[], object], *command: object) -> None:
    """Start a daemon, which writes its own pid file, and wait until it answers. EchoLMError: it
    does not; with its log's end.
    """
    if processes.daemon(settings.pid_file(name)):
        return
    with open(settings.log(f"{name}.start"), "ab") as log:
        done = subprocess.run(
            [str(word) for word in command],
            env=settings.environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        if done.returncode == 0:
            wait_for(ready, 60, f"answer from {name}")
            return
    except TimeoutError:
        pass
    raise EchoLMError(f"{name} of the SLURM lab does not start:\n{tail(settings, name)}")


def tail(settings: Settings, name: str, lines: int = 15) -> str:
    """The end of a daemon's logs."""
    texts = [
        settings.log(stem).read_text(errors="replace")
        for stem in (f"{name}.start", name)
        if settings.log(stem).exists()
    ]
    return "\n".join(line for text in texts for line in text.splitlines()[-lines:])


def munge(settings: Settings) -> None:
    """Authentication, on a socket of the lab's own."""
    start(
        settings,
        "munged",
        lambda: succeeds(
            settings,
            "sh",
            "-c",
            f"munge -n -S '{settings.socket}' | unmunge -S '{settings.socket}'",
        ),
        "munged",
        "--force",
        "--origin=127.0.0.1",
        f"--socket={settings.socket}",
        f"--key-file={settings.directory}/etc/munge.key",
        f"--log-file={settings.log('munged')}",
        f"--pid-file={settings.pid_file('munged')}",
        f"--seed-file={settings.directory}/run/munged.seed",
    )


def database(settings: Settings) -> None:
    """A throw-away MariaDB: loopback only, no grants, nothing synced. Not Debian's service, whose
    data are left alone.
    """
    if processes.daemon(settings.pid_file("mariadbd")):
        return
    data = settings.directory / "mysql"
    common = ("--no-defaults", "--user=root", f"--datadir={data}", "--innodb-log-file-size=8M")
    if not (data / "mysql").exists():
        data.mkdir(exist_ok=True)
        run(settings, "mariadb-install-db", *common, "--skip-test-db", seconds=300)
    command = (
        "mariadbd",
        *common,
        f"--socket={data}/socket",
        "--bind-address=127.0.0.1",
        f"--port={settings.port + 3}",
        "--skip-grant-tables",
        "--skip-log-bin",
        "--innodb-buffer-pool-size=64M",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-flush-method=nosync",
        "--innodb-lock-wait-timeout=900",
        "--innodb-doublewrite=0",
    )
    with open(settings.log("mariadbd"), "ab") as log:
        process = subprocess.Popen(
            command,
            env=settings.environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    settings.pid_file("mariadbd").write_text(str(process.pid), encoding="utf-8")
    wait_for(
        lambda: succeeds(
            settings, "mariadb", "--no-defaults", "-S", data / "socket", "-e", "select 1"
        ),
        60,
        "answer from mariadbd",
    )


def slurmdbd(settings: Settings) -> None:
    """Accounting's daemon, with the cluster known to it."""
    start(
        settings,
        "slurmdbd",
        lambda: succeeds(settings, "sacctmgr", "-n", "show", "cluster"),
        "slurmdbd",
    )
    if not run(settings, "sacctmgr", "-n", "show", "cluster", "lab", "format=cluster").strip():
        run(settings, "sacctmgr", "-i", "-Q", "add", "cluster", "lab")


def controller(settings: Settings) -> None:
    """slurmctld."""
    start(
        settings,
        "slurmctld",
        lambda: succeeds(settings, "scontrol", "ping"),
        "slurmctld",
        "-f",
        settings.conf,
    )


def node(settings: Settings, name: str) -> None:
    """A node's slurmd, with a hostname of its own."""
    started = f"hostname {name} && exec slurmd -N {name} -f '{settings.conf}'"
    pid_file = settings.pid_file(f"slurmd.{name}")
    start(
        settings,
        f"slurmd.{name}",
        lambda: processes.daemon(pid_file),
        "unshare",
        "--uts",
        "sh",
        "-c",
        started,
    )


def all_of(settings: Settings, say: Callable[[str], None] = lambda line: None) -> None:
    """Every daemon of a lab that does not run."""
    munge(settings)
    if settings.accounting:
        database(settings)
        say("MariaDB is up")
        slurmdbd(settings)
        say("slurmdbd is up")
    controller(settings)
    say("slurmctld is up")
    for name in settings.names:
        node(settings, name)
