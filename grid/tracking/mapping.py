"""What a complete run record becomes in MLflow. The same record always gives the same content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from echolm.config import Trainable
from echolm.errors import EchoLMError
from echolm.record import RunRecord
from grid.tracking import rows
from grid.tracking.rows import PREDICTIONS_FILE

MAX_PARAM = 6000
"""MLflow's limit, in characters. ``config.json`` among the artifacts has the whole value."""
MAX_TAG = 8000
AGAIN = "delete the record's folder and launch the cell again"
SUMMARY_METRICS = ("seconds", "epochs", "best_epoch")


@dataclass(frozen=True)
class Point:
    """One value of a metric. ``time`` in ms since 1970."""

    key: str
    value: float
    time: int
    step: int


@dataclass(frozen=True)
class Content:
    """One MLflow run. Times in ms since 1970; ``files`` become artifacts under their own names."""

    name: str
    tags: dict[str, str]
    params: dict[str, str]
    points: list[Point]
    start: int
    end: int
    files: list[Path]


def content(record: RunRecord, grids: list[str]) -> Content:
    """The content of a complete record that belongs to ``grids``; EchoLMError when one of its files is damaged."""
    identity, summary = record.identity(), record.summary()
    assert summary is not None, record.path
    history = record.history()
    files = [record.path / "config.json", record.path / "summary.json"]
    if PREDICTIONS_FILE in summary["files"]:
        files.insert(0, _checked(record.file(PREDICTIONS_FILE), summary["files"][PREDICTIONS_FILE]))
    end = _ms(summary["finished"])
    began = [end - int(1000 * float(summary.get("seconds") or 0.0))] + [_ms(event["time"]) for event in history[:1]]
    return Content(
        name=run_name(identity["config"]),
        tags=_tags(identity, summary, grids),
        params=dict(flatten(identity["config"])),
        points=list(_points(record, summary, history)),
        start=min(began),
        end=end,
        files=files,
    )


def run_name(config: dict[str, Any]) -> str:
    """``tiny-r3d k0 gcn bhoodoo2026 seed 0``; weights, fusion, augmentation and data fraction where not the plain ones.

    Plain are random weights, pooled fusion, no augmentation and all data: names stay short enough for MLflow's pages.
    """
    parts = [_name(config["encoder"]), _weights(config.get("weights", "random"))]
    if config.get("kind") == "pretrain":
        parts += ["pretrain", _name(config["task"])]
    else:
        fusion = _name(config.get("fusion", "pooled"))
        parts += [str(Trainable.model_validate(config["trainable"])), "" if fusion == "pooled" else fusion]
        parts.append(_name(config["head"]))
    augmentation, fraction = _name(config.get("augmentation", "none")), float(config["data"].get("fraction", 1.0))
    parts += ["" if augmentation == "none" else augmentation, "" if fraction == 1.0 else f"{100 * fraction:g}% data"]
    return " ".join(filter(None, [*parts, f"seed {config['seed']}"]))


def flatten(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """``{"data": {"name": "x"}}`` -> ``("data.name", "x")``; values other than texts are written as JSON."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            yield prefix + key, _cut(text, MAX_PARAM)


def _points(record: RunRecord, summary: dict[str, Any], history: list[dict[str, Any]]) -> Iterator[Point]:
    """The history by epoch, then the final values: at the last step and later in time, so they are the latest."""
    for event in history:
        for key, value in event["metrics"].items():
            yield Point(key, _number(value, key, record), _ms(event["time"]), event["epoch"])
    last = max((event["epoch"] for event in history), default=0)
    end = max([_ms(summary["finished"])] + [_ms(event["time"]) + 1 for event in history])
    final = {**summary["metrics"], **{f"run/{key}": summary.get(key) for key in SUMMARY_METRICS}}
    for key, value in final.items():
        if value is not None:
            yield Point(key, _number(value, key, record), end, last)


def _tags(identity: dict[str, Any], summary: dict[str, Any], grids: list[str]) -> dict[str, str]:
    provenance = summary.get("provenance", {})
    tags = {
        rows.FINGERPRINT: identity["fingerprint"],
        rows.CELL: identity["cell"],
        rows.DATA: identity["data"],
        rows.SYNTHETIC: "true" if summary["synthetic"] else "false",
        rows.COMMIT: provenance.get("commit"),
        rows.HOST: provenance.get("host"),
        rows.DEVICE: provenance.get("device"),
        rows.PREDICTIONS: summary["files"].get(PREDICTIONS_FILE),
        **{rows.grid_tag(grid): "true" for grid in grids},
    }
    return {key: _cut(str(value), MAX_TAG) for key, value in tags.items() if value}


def _checked(path: Path, digest: str) -> Path:
    """The file, whose SHA-256 must be the one of the summary."""
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise EchoLMError(f"{path}: cannot be read ({error.strerror}); {AGAIN}") from error
    if found != digest:
        raise EchoLMError(f"{path}: damaged (SHA-256 {found[:16]}, but {digest[:16]} in summary.json); {AGAIN}")
    return path


def _name(component: Any) -> str:
    return str(component["name"] if isinstance(component, dict) else component)


def _weights(weights: Any) -> str:
    if isinstance(weights, dict):
        weights = ":".join(filter(None, [weights["source"], weights.get("value", "")]))
    source, _, value = str(weights).partition(":")
    return "" if source == "random" else PurePath(value).name if source == "file" else str(weights)


def _number(value: Any, key: str, record: RunRecord) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise EchoLMError(f"{record.path}: metric {key!r} is {value!r}, not a number; {AGAIN}") from None


def _ms(seconds: float) -> int:
    return round(1000 * seconds)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
