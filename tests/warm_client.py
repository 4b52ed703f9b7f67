"""The process that a test has started: a command of ``warm.py``'s server runs for it.

Without packages, so that it starts at once. The server writes its constants below.
"""

import json
import os
import signal
import socket
import sys

# The server writes these.
FOLDER = ""
SOCKET = ""
REAL = ""
MODULES = ""


def words_of(arguments: list[str]) -> list[str] | None:
    """The words behind ``python``, if it is the server's to run them. None: it is not."""
    if os.path.basename(sys.argv[0]) == "echolm":
        return ["-m", "echolm", *arguments]
    rest = list(arguments)
    while rest[:1] == ["-P"] or rest[:2] == ["-X", "faulthandler"]:
        rest = rest[1 if rest[0] == "-P" else 2 :]
    known = len(rest) > 1 and rest[0] == "-m" and rest[1] in MODULES.split()
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    return arguments if known and threads == "1" else None


def run(words: list[str]) -> int:
    """Have the words run, pass on signals, and return the exit status."""
    command = {
        "words": words,
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "python": os.path.join(FOLDER, "python"),
    }
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(SOCKET)
    socket.send_fds(connection, [json.dumps(command).encode()], [0, 1, 2])
    pid = json.loads(connection.recv(4096))["pid"]

    def pass_on(number, _):  # type: ignore[no-untyped-def]
        os.kill(pid, number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, pass_on)
    return int(json.loads(connection.recv(4096))["status"])


def main() -> None:
    """Be the command."""
    words = words_of(sys.argv[1:])
    if words is None:
        os.execv(REAL, [REAL, *sys.argv[1:]])
    status = run(words)
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


if __name__ == "__main__":
    main()
