"""The command line: the composition root, with one short file for each command.

torch, mlflow and pyarrow are imported only inside the commands that need them, so that
``echolm --help`` is quick.
"""

from echolm.cli.shadowed import refuse_shadows

refuse_shadows()  # before anything of grid and cluster is imported

from echolm.cli.main import main  # noqa: E402

__all__ = ["main"]
