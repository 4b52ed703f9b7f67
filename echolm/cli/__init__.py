"""The command line: the composition root. One short file a command group; torch, mlflow and pyarrow are imported only
inside the commands that need them, so that ``echolm --help`` is quick."""

from echolm.cli.main import main

__all__ = ["main"]
