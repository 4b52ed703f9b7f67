"""How the house is laid out: imports, cost of starting, names, docstrings, the command line."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("echolm", "grid", "cluster")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
HEAVY = (
    "torch",
    "torchvision",
    "mlflow",
    "ray",
    "submitit",
    "optuna",
    "pandas",
    "scipy",
    "sklearn",
    "cv2",
    "matplotlib",
)
COMMANDS = Path(__file__).with_name("cli.json")


def name(path: Path) -> str:
    """A file's path in the repository."""
    return str(path.relative_to(ROOT))


@cache
def tree_of(path: Path) -> ast.Module:
    """A file's syntax, read once."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imported(path: Path, types: bool = True) -> list[tuple[str, int]]:
    """The modules that a file imports anywhere in it, with their lines.

    ``types``: also those that are imported for type checking alone.
    """
    package = path.relative_to(ROOT).parent.parts
    tree = tree_of(path)
    for_types = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for_types.update(ast.walk(node))
    found = []
    for node in ast.walk(tree):
        if node in for_types and not types:
            continue
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *filter(None, [node.module])])
            found += [(f"{module}.{alias.name}", node.lineno) for alias in node.names]
    return found


def is_cli(path: Path) -> bool:
    return path.is_relative_to(ROOT / "echolm" / "cli")


@pytest.mark.parametrize(
    ("package", "forbidden"), [("echolm", ("grid", "cluster")), ("grid", ("cluster",))]
)
def test_imports_run_from_cluster_over_grid_to_echolm(
    package: str, forbidden: tuple[str, ...]
) -> None:
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


def module_of(path: Path) -> str:
    """Name the module of a file, ``grid.plan``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def import_graph() -> dict[str, set[str]]:
    """Return which modules each module imports, also inside functions, but not for types alone."""
    modules = {module_of(path): path for path in FILES}
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        graph[module] = set()
        for target, _ in imported(path, types=False):
            home = target if target in modules else target.rpartition(".")[0]
            # importing a package's file runs its __init__, which is no choice of the importer
            if home in modules and home != module and modules[home].name != "__init__.py":
                graph[module].add(home)
    return graph


def test_no_module_is_imported_by_what_it_imports() -> None:
    """Such a circle hides two rooms that are one, and needs imports inside functions."""
    graph = import_graph()
    reached = {module: set(others) for module, others in graph.items()}
    growing = True
    while growing:
        growing = False
        for module in reached:
            more = set().union(*(reached[other] for other in reached[module])) - reached[module]
            reached[module] |= more
            growing = growing or bool(more)
    circles = {module for module in reached if module in reached[module]}
    assert not circles, sorted(circles)


def test_no_public_class_has_two_homes() -> None:
    """One word means one thing: a reader who finds a class has found the only one of its name."""
    homes: dict[str, list[str]] = {}
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(name(path))
    twice = {word: places for word, places in homes.items() if len(places) > 1}
    assert not twice, twice


NOT_FOR_THE_COMMAND_LINE = ("mlflow", "pyarrow", "echolm.record", "echolm.attempt")
"""What a command asks a use case for, in ``cluster`` or ``grid``."""


def test_a_command_prints_and_leaves_the_work_to_a_use_case() -> None:
    wrong = []
    for path in FILES:
        for module, line in imported(path):
            if is_cli(path) and module.startswith(NOT_FOR_THE_COMMAND_LINE):
                wrong.append(f"{name(path)}:{line} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_no_package_imports_tests() -> None:
    assert not [
        name(path)
        for path in FILES
        for module, _ in imported(path)
        if module.split(".")[0] in ("tests", "pytest", "hypothesis")
    ]


def loaded_by(codes: Sequence[str]) -> dict[str, list[str]]:
    """The heavy packages that a new interpreter has loaded after each of ``codes``.

    One interpreter runs them all: what one loads is there after the later ones, too. Only codes
    after which there is something are returned.
    """
    done = subprocess.run(
        [sys.executable, "-c", LOADED, json.dumps([HEAVY, codes])],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stderr.splitlines()[-1]))


LOADED = """
import json
import sys
heavy, codes = json.loads(sys.argv[1])
found = {}
for code in codes:
    exec(code, {})
    loaded = [module for module in heavy if module in sys.modules]
    if loaded:
        found[code] = loaded
print(json.dumps(found), file=sys.stderr)
"""


def command(*words: str) -> str:
    """Code that runs the command line in the process."""
    run = f"import echolm.cli\ntry:\n    echolm.cli.main({list(words)!r})\n"
    return run + "except SystemExit as end:\n    assert not end.code, end.code"


STARTING = [
    "import grid.definition.grid",
    "import grid.plan",
    "import grid.explain",
    "import grid.statistics",
    "import echolm.record, echolm.attempt",
    "import grid.search.definition, grid.search.folder, grid.search.study",
    "import grid.search.worker, grid.search.results, cluster.search",
    "import cluster.launch, cluster.status, cluster.actions, cluster.logs, cluster.operations",
    "import cluster.profile, cluster.code, cluster.forecast, cluster.slurm.submit.launch",
    "import cluster.slurm.check.check_site, cluster.slurm.check.folders",
    "import cluster.local_search, cluster.ray_search, cluster.slurm.search",
    "import cluster.ray.executor, cluster.ray.pool",
    command("--help"),
    command("grid", "list"),
    command("cluster", "example"),
    command("grid", "show", "demo", "--json"),
    command("launch", "--help"),
    command("search", "--help"),
]


def test_starting_listing_and_looking_without_data_load_nothing_heavy(tmp_path: Path) -> None:
    """Of commands that look at a workspace: a dry run and a status of one that is not there."""
    elsewhere = ("-w", str(tmp_path / "none"))
    looking = [
        command(*elsewhere, "launch", "demo", "--dry-run"),
        command(*elsewhere, "status", "demo", "--json"),
    ]
    assert loaded_by([*STARTING, *looking]) == {}
    assert not (tmp_path / "none").exists()


def public(tree: ast.Module) -> Iterator[ast.AST]:
    """The module, its public classes and functions, and the public methods of those classes."""
    yield tree
    scopes: list[Any] = [tree]
    while scopes:
        for node in scopes.pop().body:
            if isinstance(
                node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
            ) and not node.name.startswith("_"):
                yield node
                if isinstance(node, ast.ClassDef):
                    scopes.append(node)


def is_exempt(node: ast.AST) -> bool:
    """Whether its docstring is elsewhere: at a setter's property, at a protocol's class."""
    if not isinstance(node, ast.FunctionDef):
        return False
    setter = any(
        isinstance(mark, ast.Attribute) and mark.attr == "setter" for mark in node.decorator_list
    )
    return setter or (len(node.body) == 1 and ast.unparse(node.body[0]) == "...")


def test_everything_public_has_a_docstring() -> None:
    missing = [
        f"{name(path)}:{getattr(node, 'lineno', 1)} {getattr(node, 'name', 'the module')}"
        for path in FILES
        if path.stat().st_size
        for node in public(tree_of(path))
        if not is_exempt(node) and not ast.get_docstring(node)  # type: ignore[arg-type]
    ]
    assert not missing, "\n".join(missing)


def test_no_file_is_over_five_hundred_lines() -> None:
    files = [*FILES, *sorted((ROOT / "tests").rglob("*.py"))]
    assert not [
        name(path) for path in files if len(path.read_text(encoding="utf-8").splitlines()) > 500
    ]


def described(found: click.Command) -> Any:
    """A command's arguments and options; a group's also its commands."""
    own = {
        "arguments": [p.human_readable_name for p in found.params if isinstance(p, click.Argument)],
        "options": sorted(
            "/".join([*p.opts, *p.secondary_opts])
            for p in found.params
            if isinstance(p, click.Option)
        ),
    }
    if isinstance(found, click.Group):
        return {
            **own,
            "commands": {key: described(found.commands[key]) for key in sorted(found.commands)},
        }
    return own


def test_the_command_line_is_the_frozen_one() -> None:
    from echolm.cli import main

    now = json.dumps(described(main), indent=1) + "\n"
    assert now == COMMANDS.read_text(encoding="utf-8"), (
        "the commands or options of echolm differ from tests/cli.json. People's scripts use them:"
        " an option is not renamed or removed without a release note. To accept the change:"
        " python -m tests.test_architecture > tests/cli.json"
    )


def test_whatever_lists_has_json() -> None:
    def leaves(found: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
        if isinstance(found, click.Group):
            for key, inner in found.commands.items():
                yield from leaves(inner, f"{path} {key}")
        else:
            yield path, found

    from echolm.cli import main

    without = {
        path
        for path, found in leaves(main, "echolm")
        if not any("--json" in p.opts for p in found.params)
    }
    assert without <= {"echolm data phantom"}, without


def test_every_benchmark_finds_what_it_measures() -> None:
    """Benchmarks are not run here, so a name that has moved would be noticed late."""
    modules = [
        f"tests.benchmarks.{path.stem}"
        for path in sorted((ROOT / "tests" / "benchmarks").glob("*.py"))
        if path.stem != "__main__"
    ]
    program = f"import importlib\nfor name in {modules!r}: importlib.import_module(name)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_tests_share_has_a_name_of_its_own() -> None:
    """Test files of one name are in several folders, and which one an import means is chance."""
    files = sorted((ROOT / "tests").rglob("*.py"))
    shared = Counter(path.stem for path in files)
    wrong = []
    for path in files:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            match = re.match(r"\s*(?:from|import) (\w+)", line)
            if match and shared[match[1]] > 1 and match[1] != "conftest":
                wrong.append(f"{path.relative_to(ROOT)}:{number} imports {match[1]}")
    assert not wrong, "\n".join(wrong)


if __name__ == "__main__":
    from echolm.cli import main

    print(json.dumps(described(main), indent=1))
