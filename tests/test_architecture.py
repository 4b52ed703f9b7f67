"""How the house is laid out: directions of imports, cost of starting, documentation, sizes, and the command line."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("echolm", "grid", "cluster")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
HEAVY = ("torch", "torchvision", "mlflow", "ray", "submitit", "optuna", "pandas", "scipy", "sklearn", "cv2", "matplotlib")
COMMANDS = Path(__file__).with_name("cli.json")


def name(path: Path) -> str:
    """A file's path in the repository."""
    return str(path.relative_to(ROOT))


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """The modules that a file imports anywhere in it, with their lines."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *filter(None, [node.module])])
            yield from ((f"{module}.{alias.name}", node.lineno) for alias in node.names)


def is_cli(path: Path) -> bool:
    return path.is_relative_to(ROOT / "echolm" / "cli")


@pytest.mark.parametrize(("package", "forbidden"), [("echolm", ("grid", "cluster")), ("grid", ("cluster",))])
def test_imports_run_from_cluster_over_grid_to_echolm(package: str, forbidden: tuple[str, ...]) -> None:
    """The command line alone may import all three."""
    wrong = [
        f"{name(path)}:{line} imports {module}"
        for path in FILES
        if path.is_relative_to(ROOT / package) and not is_cli(path)
        for module, line in imported(path)
        if module.split(".")[0] in forbidden
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_imports_the_command_line() -> None:
    wrong = [
        f"{name(path)}:{line} imports {module}"
        for path in FILES
        if not is_cli(path) and path.name != "__main__.py"
        for module, line in imported(path)
        if module == "echolm.cli" or module.startswith("echolm.cli.")
    ]
    assert not wrong, "\n".join(wrong)


def test_no_package_imports_tests() -> None:
    assert not [name(path) for path in FILES for module, _ in imported(path) if module.split(".")[0] in ("tests", "pytest", "hypothesis")]


def loaded_by(code: str) -> list[str]:
    """The heavy packages that a new interpreter has loaded after ``code``."""
    ask = f"import sys, json\n{code}\nprint(json.dumps([m for m in {HEAVY!r} if m in sys.modules]), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stderr.splitlines()[-1]))


def command(*words: str) -> str:
    """Code that runs the command line in the process."""
    return f"import echolm.cli\ntry:\n    echolm.cli.main({list(words)!r})\nexcept SystemExit as end:\n    assert not end.code, end.code"


@pytest.mark.parametrize(
    "code",
    [
        "import grid.definition", "import grid.plan", "import grid.explain", "import grid.statistics", "import echolm.record, echolm.attempt",
        "import grid.search.definition, grid.search.folder, grid.search.study, grid.search.worker, grid.search.results, cluster.search",
        "import cluster.profile, cluster.code, cluster.forecast, cluster.slurm.check, cluster.slurm.places",
        command("--help"), command("grid", "list"), command("cluster", "example"), command("grid", "show", "demo", "--json"),
        command("launch", "--help"), command("search", "--help"),
    ],
)  # fmt: skip
def test_starting_and_listing_load_nothing_heavy(code: str) -> None:
    assert loaded_by(code) == []


def test_a_dry_run_and_a_status_without_data_load_nothing_heavy(tmp_path: Path) -> None:
    for words in (["launch", "demo", "--dry-run"], ["status", "demo", "--json"]):
        assert loaded_by(command("-w", str(tmp_path / "none"), *words)) == []
    assert not (tmp_path / "none").exists()


def public(tree: ast.Module) -> Iterator[ast.AST]:
    """The module, its public classes and functions, and the public methods of those classes."""
    yield tree
    scopes: list[Any] = [tree]
    while scopes:
        for node in scopes.pop().body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and not node.name.startswith("_"):
                yield node
                if isinstance(node, ast.ClassDef):
                    scopes.append(node)


def is_exempt(node: ast.AST) -> bool:
    """Whether its docstring is elsewhere: the property's for a setter, the class's for the bare methods of a protocol."""
    if not isinstance(node, ast.FunctionDef):
        return False
    setter = any(isinstance(mark, ast.Attribute) and mark.attr == "setter" for mark in node.decorator_list)
    return setter or (len(node.body) == 1 and ast.unparse(node.body[0]) == "...")


def test_everything_public_has_a_docstring() -> None:
    missing = [
        f"{name(path)}:{getattr(node, 'lineno', 1)} {getattr(node, 'name', 'the module')}"
        for path in FILES
        if path.stat().st_size
        for node in public(ast.parse(path.read_text(encoding="utf-8")))
        if not is_exempt(node) and not ast.get_docstring(node)  # type: ignore[arg-type]
    ]
    assert not missing, "\n".join(missing)


def test_no_file_is_over_five_hundred_lines() -> None:
    files = [*FILES, *sorted((ROOT / "tests").rglob("*.py"))]
    assert not [name(path) for path in files if len(path.read_text(encoding="utf-8").splitlines()) > 500]


def described(found: click.Command) -> Any:
    """A command's arguments and options; a group's also its commands."""
    own = {
        "arguments": [p.human_readable_name for p in found.params if isinstance(p, click.Argument)],
        "options": sorted("/".join([*p.opts, *p.secondary_opts]) for p in found.params if isinstance(p, click.Option)),
    }
    if isinstance(found, click.Group):
        return {**own, "commands": {key: described(found.commands[key]) for key in sorted(found.commands)}}
    return own


def test_the_command_line_is_the_frozen_one() -> None:
    from echolm.cli import main

    now = json.dumps(described(main), indent=1) + "\n"
    assert now == COMMANDS.read_text(encoding="utf-8"), (
        "the commands or options of echolm differ from tests/cli.json. People's scripts use them: an option is not renamed"
        " or removed without a release note. To accept the change: python -m tests.test_architecture > tests/cli.json"
    )


def test_whatever_lists_has_json() -> None:
    def leaves(found: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
        if isinstance(found, click.Group):
            for key, inner in found.commands.items():
                yield from leaves(inner, f"{path} {key}")
        else:
            yield path, found

    from echolm.cli import main

    without = {path for path, found in leaves(main, "echolm") if not any("--json" in p.opts for p in found.params)}
    assert without <= {"echolm data phantom"}, without


if __name__ == "__main__":
    from echolm.cli import main

    print(json.dumps(described(main), indent=1))
