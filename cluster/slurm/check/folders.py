"""Check folders and the interpreter of a profile.

This machine can tell only in part whether compute nodes see them.
"""

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
from cluster.slurm.check.finding import Finding, error, ok, warning

SHARED = (
    "nfs",
    "nfs4",
    "lustre",
    "gpfs",
    "beegfs",
    "ceph",
    "panfs",
    "orangefs",
    "pvfs2",
    "afs",
    "cifs",
    "smb3",
    "wekafs",
    "9p",
    "virtiofs",
    "gfs2",
    "ocfs2",
    "glusterfs",
    "vast",
    "daos",
)
"""Types of file systems that several machines can mount. ``fuse.NAME`` counts as NAME."""
IN_MEMORY = ("tmpfs", "ramfs", "devtmpfs")
TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm", "/run")
NEEDED = (
    "torch",
    "torchvision",
    "numpy",
    "pyarrow",
    "pydantic",
    "yaml",
    "click",
    "safetensors",
    "psutil",
    "filelock",
)
"""Modules that a job imports besides EchoLM, which it gets at submission."""
OLDEST_PYTHON = (3, 11)
ASK = """\
import importlib.util, json, sys
missing = [name for name in sys.argv[1:] if importlib.util.find_spec(name) is None]
print(json.dumps([sys.version_info[:2], missing]))
"""
"""What an interpreter is asked: its version, and which modules it lacks."""


def check_places(profile: Profile, workspace: Path, temporary: str) -> Iterator[Finding]:
    """Check the workspace, the folder for jobs and the interpreter.

    Args:
        profile: the site's profile.
        workspace: the workspace's folder.
        temporary: the site's TmpFS.
    """
    yield check_folder("workspace", workspace, temporary)
    if profile.work_dir is not None:
        yield check_folder("work_dir", profile.work_dir, temporary)
    yield from check_python(profile)


def check_folder(topic: str, path: Path, temporary: str = "") -> Finding:
    """Check whether jobs could write in a folder and other machines see it.

    Nothing is left behind. A folder that is not there yet is judged by the nearest one above it.

    Args:
        topic: ``workspace``, or the profile's field.
        path: the folder.
        temporary: the site's TmpFS.
    """
    remedy = f"set {topic} to a folder on a file system that all nodes mount"
    if topic == "workspace":
        remedy = (
            "use --workspace (or ECHOLM_WORKSPACE) with a folder on a file system that all nodes "
            "mount"
        )
    folder = next(parent for parent in (path, *path.parents) if parent.exists()).resolve()
    type_ = file_system(folder)
    for temporary_folder in _temporary(temporary):
        if folder.is_relative_to(temporary_folder):
            text = f"{path} is in {temporary_folder}, which each node has for itself"
            return error(topic, text, remedy)
    if type_ in IN_MEMORY:
        return error(topic, f"{path} is in the memory of this machine ({type_})", remedy)
    if problem := _why_not_writable(folder):
        return error(topic, f"{folder}: {problem}", remedy)
    if type_.removeprefix("fuse.") in SHARED:
        return ok(topic, f"{path} can be written, on a shared file system ({type_})")
    return warning(
        topic,
        f"{path} can be written, but its file system ({type_ or 'of unknown type'}) may be this "
        "machine's own",
        f"make sure that every node sees it, e.g.: srun -N1 ls -d {shlex.quote(str(folder))}; "
        f"otherwise {remedy}",
    )


def file_system(path: Path) -> str:
    """Return the type of the file system that holds ``path`` (``ext4``, ``nfs4``, ``lustre``).

    '' when it cannot be found.
    """
    import psutil

    mounts = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    for parent in (path, *path.parents):
        if parent in mounts:
            return str(mounts[parent])
    return ""


def check_python(profile: Profile) -> Iterator[Finding]:
    """Check whether the interpreter is there and has what a job imports.

    One in a container is not looked into.
    """
    python = profile.command[-1]
    if profile.container is not None:
        runtime = profile.command[0]
        if shutil.which(runtime) is None:
            yield warning(
                "container",
                f"{runtime!r} is not found here",
                "make sure that nodes have it (perhaps a setup line loads it)",
            )
        yield ok("python", f"{python} is inside the container: not looked at")
        return
    program = shutil.which(python)
    if program is None:
        yield error(
            "python",
            f"{python} is not found, or is not a program",
            "set python to the interpreter that compute nodes use",
        )
        return
    absolute = Path(program).absolute()
    if any(absolute.is_relative_to(folder) for folder in _temporary("")):
        yield error(
            "python",
            f"{program} is in a temporary folder, which each node has for itself",
            "set python to one that all nodes see",
        )
    yield _check_modules(program)


def _check_modules(python: str) -> Finding:
    """Check what an interpreter lacks."""
    try:
        done = subprocess.run(
            [python, "-P", "-c", ASK, *NEEDED],
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )
        version, missing = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return error(
            "python",
            f"{python} does not run, or is older than Python 3.11",
            "set python to Python 3.11 or newer",
        )
    name = f"{python} is Python {version[0]}.{version[1]}"
    if tuple(version) < OLDEST_PYTHON:
        return error("python", name, "set python to Python 3.11 or newer")
    if missing:
        return error(
            "python",
            f"{python} has no {', '.join(missing)}",
            f"install EchoLM for it: {python} -m pip install DIR (its checkout)",
        )
    return ok("python", f"{name} and has what jobs import")


def _temporary(site: str) -> list[Path]:
    """Return the folders that every machine has for itself.

    Args:
        site: the site's TmpFS, or ''.
    """
    folders = [*TEMPORARY, tempfile.gettempdir()]
    if site:
        folders.append(site)
    return [Path(folder).resolve() for folder in dict.fromkeys(folders)]


def _why_not_writable(folder: Path) -> str:
    """Say why no file can be made in a folder, or ''."""
    if not folder.is_dir():
        return "not a folder"
    try:
        with tempfile.NamedTemporaryFile(prefix=".echolm-check-", dir=folder) as file:
            file.write(b"echolm")
            os.fsync(file.fileno())
    except OSError as problem:
        return f"cannot be written: {problem.strerror or problem}"
    return ""
