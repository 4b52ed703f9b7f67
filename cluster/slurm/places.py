"""Folders and the interpreter of a profile, as far as this machine can tell whether compute nodes see them."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cluster.profile import Profile
from cluster.slurm.findings import Finding, error, ok, warning

SHARED = ("nfs", "nfs4", "lustre", "gpfs", "beegfs", "ceph", "panfs", "orangefs", "pvfs2", "afs", "cifs", "smb3", "wekafs", "9p",
          "virtiofs", "gfs2", "ocfs2", "glusterfs", "vast", "daos")  # fmt: skip
"""Types of file systems that several machines can mount; ``fuse.NAME`` counts as NAME."""
IN_MEMORY = ("tmpfs", "ramfs", "devtmpfs")
TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm", "/run")
NEEDED = ("torch", "torchvision", "numpy", "pyarrow", "pydantic", "yaml", "click", "safetensors", "psutil", "filelock")
"""Modules that a job imports besides EchoLM, which it gets at submission."""
ASK = "import importlib.util, json, sys; print(json.dumps([sys.version_info[:2], [m for m in sys.argv[1:] if importlib.util.find_spec(m) is None]]))"


def check_places(profile: Profile, workspace: Path, temporary: str) -> Iterator[Finding]:
    """The workspace, the folder for jobs and the interpreter. ``temporary``: the site's TmpFS."""
    yield from check_folder("workspace", workspace, temporary)
    if profile.work_dir is not None:
        yield from check_folder("work_dir", profile.work_dir, temporary)
    yield from check_python(profile)


def check_folder(topic: str, path: Path, temporary: str = "") -> Iterator[Finding]:
    """Whether jobs could write in a folder and other machines see it. ``temporary``: the site's TmpFS.

    Nothing is left behind; a folder that is not there yet is judged by the nearest one above it.
    """
    remedy = f"set {topic} to a folder on a file system that all nodes mount"
    if topic == "workspace":
        remedy = "use --workspace (or ECHOLM_WORKSPACE) with a folder on a file system that all nodes mount"
    there = next(parent for parent in (path, *path.parents) if parent.exists()).resolve()
    inside = next((place for place in _temporary(temporary) if there.is_relative_to(place)), None)
    kind = file_system(there)
    if inside is not None:
        yield error(topic, f"{path} is in {inside}, which each node has for itself", remedy)
    elif kind in IN_MEMORY:
        yield error(topic, f"{path} is in the memory of this machine ({kind})", remedy)
    elif problem := _not_writable(there):
        yield error(topic, f"{there}: {problem}", remedy)
    elif kind.removeprefix("fuse.") in SHARED:
        yield ok(topic, f"{path} can be written, on a shared file system ({kind})")
    else:
        text = f"{path} can be written, but its file system ({kind or 'of unknown type'}) may be this machine's own"
        yield warning(topic, text, f"make sure that every node sees it, e.g.: srun -N1 ls -d {shlex.quote(str(there))}; otherwise {remedy}")


def file_system(path: Path) -> str:
    """The type of the file system that holds ``path`` (``ext4``, ``nfs4``, ``lustre``); '' when it cannot be found."""
    import psutil

    mounts = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    return next((mounts[parent] for parent in (path, *path.parents) if parent in mounts), "")


def check_python(profile: Profile) -> Iterator[Finding]:
    """Whether the interpreter is there and has what a job imports. One in a container is not looked into."""
    python = profile.command[-1]
    if profile.container is not None:
        first = profile.command[0]
        if shutil.which(first) is None:
            yield warning("container", f"{first!r} is not found here", "make sure that nodes have it (perhaps a setup line loads it)")
        return (yield ok("python", f"{python} is inside the container: not looked at"))
    found = shutil.which(python)
    if found is None:
        return (yield error("python", f"{python} is not found, or is not a program", "set python to the interpreter that compute nodes use"))
    if any(Path(found).absolute().is_relative_to(place) for place in _temporary("")):
        yield error("python", f"{found} is in a temporary folder, which each node has for itself", "set python to one that all nodes see")
    yield _modules(found)


def _modules(python: str) -> Finding:
    """What an interpreter lacks."""
    try:
        done = subprocess.run([python, "-P", "-c", ASK, *NEEDED], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        version, missing = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return error("python", f"{python} does not run, or is older than Python 3.11", "set python to Python 3.11 or newer")
    if tuple(version) < (3, 11):
        return error("python", f"{python} is Python {version[0]}.{version[1]}", "set python to Python 3.11 or newer")
    if missing:
        return error("python", f"{python} has no {', '.join(missing)}", f"install EchoLM for it: {python} -m pip install DIR (its checkout)")
    return ok("python", f"{python} is Python {version[0]}.{version[1]} and has what jobs import")


def _temporary(site: str) -> list[Path]:
    """Folders that every machine has for itself."""
    return [Path(place).resolve() for place in dict.fromkeys([*TEMPORARY, tempfile.gettempdir(), *filter(None, [site])])]


def _not_writable(folder: Path) -> str:
    """Why no file can be made in a folder, or ''."""
    if not folder.is_dir():
        return "not a folder"
    try:
        with tempfile.NamedTemporaryFile(prefix=".echolm-check-", dir=folder) as file:
            file.write(b"echolm")
            os.fsync(file.fileno())
        return ""
    except OSError as problem:
        return f"cannot be written: {problem.strerror or problem}"
