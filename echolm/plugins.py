"""What plugins are made of: the SHA-256 of their source, as it was when they were imported.

It is provenance: recorded with every attempt of a run that uses the plugin, never part of identity.
An edit that does not change results keeps the runs. One that does is told by the component's
``protocol``.

A plugin is a module that ``ECHOLM_PLUGINS`` names, or one outside EchoLM that registers a
component. Of a package, all Python files count. Modules that lie beside a single file do not.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

OWN = ("echolm", "grid", "cluster")
"""Packages that are no plugins."""

_sources: dict[str, str] = {}


def note_source(module: str) -> None:
    """Note the source of a plugin that is being imported. Later edits change nothing.

    Args:
        module: its dotted name. EchoLM's own modules are passed over.
    """
    if module.partition(".")[0] in OWN:
        return
    plugin = _plugin_of(module)
    if plugin not in _sources:
        _sources[plugin] = _digest(plugin)


def plugin_sources() -> dict[str, str]:
    """Return plugin -> SHA-256 of its source, for all that this process has imported.

    The SHA-256 is empty where there is no file, as for a class of a notebook.
    """
    return dict(_sources)


def sources_of(components: Iterable[Any]) -> dict[str, str]:
    """Return plugin -> SHA-256 of its source, for the plugins that components are of.

    Args:
        components: any objects. The plugins of their classes and of the classes above them count.
    """
    used = {}
    for component in components:
        for cls in type(component).__mro__:
            plugin = _plugin_of(cls.__module__)
            if plugin in _sources:
                used[plugin] = _sources[plugin]
    return dict(sorted(used.items()))


def _plugin_of(module: str) -> str:
    """Return the outermost package of a module that has a file, or the module itself.

    A namespace package has none: what lies in it is not one plugin.
    """
    parts = module.split(".")
    for count in range(1, len(parts)):
        package = ".".join(parts[:count])
        if getattr(sys.modules.get(package), "__file__", None):
            return package
    return module


def _digest(plugin: str) -> str:
    file = getattr(sys.modules.get(plugin), "__file__", None)
    if not file:
        return ""
    path = Path(file)
    files = {path.name: path}
    if path.name == "__init__.py":
        folder = path.parent
        files = {str(source.relative_to(folder)): source for source in folder.rglob("*.py")}
    content = hashlib.sha256()
    try:
        for name in sorted(files):
            for part in (name.encode("utf-8", "surrogateescape"), files[name].read_bytes()):
                content.update(len(part).to_bytes(8, "big") + part)
    except OSError:
        return ""  # gone since it was imported, or without its source
    return content.hexdigest()
