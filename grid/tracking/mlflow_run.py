"""What a complete run record becomes in MLflow. The same record always gives the same content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from echolm.errors import EchoLMError
from echolm.record import RunRecord, RunStatus
from echolm.states import RunState
from echolm.text import last_line_of
from grid.tracking import reader
from grid.tracking.predictions import stated_digest
from grid.tracking.reader import PREDICTIONS_FILE

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

MAX_PARAM = 6000
"""MLflow's limit, in characters. ``config.json`` among the artifacts has the whole value."""
MAX_TAG = 8000
AGAIN = "delete the record's folder and launch the cell again"
SUMMARY_METRICS = ("seconds", "epochs", "best_epoch")
LOG_FILE = "log.txt"
DATASET_DIGITS = 36
"""MLflow's limit of a dataset's digest, in characters."""
SOURCE = "mlflow.source.name"
SOURCE_TYPE = "mlflow.source.type"
SOURCE_COMMIT = "mlflow.source.git.commit"
NOTE = "mlflow.note.content"
"""MLflow's tags for where a run comes from, and for the text on its page."""
ENDED = (RunState.FAILED, RunState.PRUNED, RunState.CANCELLED)
"""States in which a run that is not complete does not go on by itself."""
STATUSES: dict[str, str] = {
    RunState.FAILED: "FAILED",
    RunState.PRUNED: "KILLED",
    RunState.CANCELLED: "KILLED",
    RunState.INTERRUPTED: "SCHEDULED",
    RunState.PENDING: "SCHEDULED",
}
"""State of a run that is not complete -> MLflow's status. Any other is RUNNING."""


@dataclass(frozen=True)
class Point:
    """One value of a metric. ``time`` is in ms since 1970."""

    key: str
    value: float
    time: int
    step: int


@dataclass(frozen=True)
class RunData:
    """What a run was trained on, as MLflow's datasets are.

    Attributes:
        name: of the store.
        fingerprint: of its content.
        fraction: the part of the training split that was used.
    """

    name: str
    fingerprint: str
    fraction: float

    def as_input(self) -> DatasetInput:
        """Return it as MLflow takes it."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        source = {"store": self.name, "fingerprint": self.fingerprint, "fraction": self.fraction}
        dataset = Dataset(
            name=self.name,
            digest=self.fingerprint[:DATASET_DIGITS],
            source_type="echolm",
            source=json.dumps(source),
        )
        return DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])


@dataclass(frozen=True)
class MlflowRun:
    """One MLflow run. Times are in ms since 1970.

    Attributes:
        name: what MLflow calls it.
        tags: its tags.
        params: its parameters.
        points: its metrics.
        start: when it began.
        end: when it ended. None while it goes on.
        files: what become artifacts of the same names.
        status: MLflow's.
        state: the state of a run that is not complete, else ''.
        dataset: what it was trained on.
    """

    name: str
    tags: dict[str, str]
    params: dict[str, str]
    points: list[Point]
    start: int
    end: int | None
    files: list[Path]
    status: str = reader.FINISHED
    state: str = ""
    dataset: RunData | None = None


def mlflow_run(record: RunRecord, grids: list[str]) -> MlflowRun:
    """Return the content of a complete record that belongs to ``grids``.

    Raises:
        EchoLMError: one of its files is damaged.
    """
    identity = record.identity()
    summary = record.summary()
    assert summary is not None, record.path
    history = record.history()
    files = [record.path / "config.json", record.path / "summary.json"]
    samples = ""
    sha256 = summary["files"].get(PREDICTIONS_FILE)
    if sha256 is not None:
        path = record.file(PREDICTIONS_FILE)
        samples = stated_digest(_checked(path, sha256))
        files.insert(0, path)
    log = record.attempt_path(summary["attempt"]) / LOG_FILE
    if log.is_file():
        files.append(log)
    end = _ms(summary["finished"])
    start = end - int(1000 * float(summary.get("seconds") or 0.0))
    if history:
        start = min(start, _ms(history[0]["time"]))
    return MlflowRun(
        name=run_name(identity["config"]),
        tags=_tags(identity, summary, samples, grids),
        params=dict(flatten(identity["config"])),
        points=list(_points(record, summary, history)),
        start=start,
        end=end,
        files=files,
        dataset=_dataset(identity),
    )


def unfinished_run(record: RunRecord, grids: list[str], status: RunStatus) -> MlflowRun:
    """Return what is known of a record that is not complete.

    It has the history so far. Once it has ended, it has its log, and in its note why it ended.

    Raises:
        EchoLMError: one of its files is damaged.
    """
    identity = record.identity()
    history = record.history()
    events = record.events(status.attempt)
    times = [_ms(event["time"]) for event in (*history, *events)]
    tags = _identity_tags(identity, grids)
    tags[reader.STATE] = status.name
    goes_on = status.name not in ENDED
    why = last_line_of(str(status.evidence.get("error") or ""), "")
    if why and not goes_on:
        tags[NOTE] = _cut(f"{status.name}: {why}", MAX_TAG)
    files = [record.path / "config.json"]
    log = record.attempt_path(status.attempt) / LOG_FILE
    if log.is_file() and not goes_on:
        files.append(log)
    return MlflowRun(
        name=run_name(identity["config"]),
        tags=tags,
        params=dict(flatten(identity["config"])),
        points=list(_history_points(record, history)),
        start=min(times, default=0),
        end=None if goes_on else max(times, default=0),
        files=files,
        status=STATUSES.get(status.name, "RUNNING"),
        state=status.name,
        dataset=_dataset(identity),
    )


def run_name(config: dict[str, Any]) -> str:
    """Name a run: ``tiny-r3d k0 gcn bhoodoo2026 seed 0``.

    Weights, fusion, augmentation, clip and data fraction are named where they are not the plain
    ones, and so are the conditions on items. Plain are random weights, pooled fusion, no
    augmentation, frames from ED to ES and all data: names stay short enough for MLflow's pages.
    """
    parts = [_name(config["encoder"]), _weights(config.get("weights", "random"))]
    if config.get("kind") == "pretrain":
        # A pretraining has an objective; the first ones called it a task.
        parts += ["pretrain", _name(config.get("objective") or config["task"])]
    else:
        # It imports all components, and who collects what is there already needs none of them.
        from echolm.config import Trainable

        parts.append(str(Trainable.model_validate(config["trainable"])))
        parts.append(_name_unless("pooled", config.get("fusion", "pooled")))
        parts.append(_name(config["head"]))
    parts.append(_name_unless("none", config.get("augmentation", "none")))
    parts.append(_name_unless("ed-to-es", config.get("clip", "ed-to-es")))
    fraction = float(config["data"].get("fraction", 1.0))
    if fraction != 1.0:
        parts.append(f"{100 * fraction:g}% data")
    for name, values in config["data"].get("where", {}).items():
        parts.append(f"{name} {values if isinstance(values, str) else json.dumps(values)}")
    parts.append(f"seed {config['seed']}")
    return " ".join(part for part in parts if part)


def flatten(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Turn ``{"data": {"name": "x"}}`` into ``("data.name", "x")``.

    Values other than texts are written as JSON.
    """
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from flatten(value, f"{prefix}{key}.")
            continue
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        yield prefix + key, _cut(text, MAX_PARAM)


def other_cell(params: Mapping[str, str], config: Mapping[str, Any]) -> str:
    """Say in which value the parameters of a run are not those of a configuration.

    Versions of EchoLM write further fields or leave some out: only those are compared that both
    have.

    Returns:
        ``seed = 1, not 0``. Empty where none differs.
    """
    for name, expected in flatten(dict(config)):
        value = params.get(name)
        if value is not None and value != expected and _plain(value) != _plain(expected):
            return f"{name} = {value[:40]}, not {expected[:40]}"
    return ""


def _plain(text: str) -> Any:
    """Return what a text says as JSON, so that 1 and 1.0 are equal. Else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _points(
    record: RunRecord, summary: dict[str, Any], history: list[dict[str, Any]]
) -> Iterator[Point]:
    """Yield the history by epoch, then the final values.

    These are at the last step and later in time, so they are the latest.
    """
    end = _ms(summary["finished"])
    last_epoch = 0
    for event in history:
        end = max(end, _ms(event["time"]) + 1)
        last_epoch = max(last_epoch, event["epoch"])
    yield from _history_points(record, history)
    final = {**summary["metrics"]}
    for key in SUMMARY_METRICS:
        final[f"run/{key}"] = summary.get(key)
    for key, value in final.items():
        if value is not None:
            yield Point(key, _number(value, key, record), end, last_epoch)


def _history_points(record: RunRecord, history: list[dict[str, Any]]) -> Iterator[Point]:
    for event in history:
        time = _ms(event["time"])
        for key, value in event["metrics"].items():
            yield Point(key, _number(value, key, record), time, event["epoch"])


def _identity_tags(identity: dict[str, Any], grids: list[str]) -> dict[str, str]:
    """Return the tags that a run has from its beginning."""
    tags = {
        reader.FINGERPRINT: identity["fingerprint"],
        reader.CELL: identity["cell"],
        reader.DATA: identity["data"],
        reader.WEIGHTS: identity.get("weights"),
        reader.PROTOCOLS: _json(identity.get("protocols")),
        SOURCE: f"echolm train {identity['cell']}",
        SOURCE_TYPE: "LOCAL",
    }
    for grid in grids:
        tags[reader.grid_tag(grid)] = "true"
    return _as_tags(tags)


def _tags(
    identity: dict[str, Any], summary: dict[str, Any], samples: str, grids: list[str]
) -> dict[str, str]:
    provenance = summary.get("provenance", {})
    is_job = bool(provenance.get("slurm_job"))
    tags = {
        SOURCE_TYPE: "JOB" if is_job else "LOCAL",
        SOURCE_COMMIT: provenance.get("commit"),
        reader.SYNTHETIC: "true" if summary["synthetic"] else "false",
        reader.COMMIT: provenance.get("commit"),
        reader.HOST: provenance.get("host"),
        reader.DEVICE: provenance.get("device"),
        reader.ARITHMETIC: summary.get("arithmetic"),
        reader.PREDICTIONS: summary["files"].get(PREDICTIONS_FILE),
        reader.SAMPLES: samples,
    }
    cost = summary.get("cost", {})
    for name in reader.COSTS:
        tags[reader.cost_tag(name)] = cost.get(name)
    return {**_identity_tags(identity, grids), **_as_tags(tags)}


def _json(value: Any) -> str | None:
    """Return a value as JSON, or None where there is none."""
    if value is None:
        return None
    return json.dumps(value, sort_keys=True)


def _as_tags(values: Mapping[str, Any]) -> dict[str, str]:
    """Return values as texts that MLflow takes. What is not there is left out."""
    tags = {}
    for key, value in values.items():
        if value is not None and value != "":
            tags[key] = _cut(str(value), MAX_TAG)
    return tags


def _dataset(identity: dict[str, Any]) -> RunData | None:
    """Return what a run was trained on. None where its record does not say it."""
    data = identity["config"].get("data")
    fingerprint = identity.get("data")
    if not isinstance(data, dict) or not fingerprint or not data.get("name"):
        return None
    return RunData(str(data["name"]), str(fingerprint), float(data.get("fraction", 1.0)))


def _checked(path: Path, sha256: str) -> bytes:
    """Return the content of a file, whose SHA-256 must be the one of the summary."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EchoLMError(f"{path}: cannot be read ({error.strerror}); {AGAIN}") from error
    computed = hashlib.sha256(content).hexdigest()
    if computed != sha256:
        raise EchoLMError(
            f"{path}: damaged (SHA-256 {computed[:16]}, but {sha256[:16]} in summary.json); {AGAIN}"
        )
    return content


def _name(component: Any) -> str:
    if isinstance(component, dict):
        return str(component["name"])
    return str(component)


def _name_unless(plain: str, component: Any) -> str:
    name = _name(component)
    return "" if name == plain else name


def _weights(weights: Any) -> str:
    """Name the weights: nothing for random ones, a file by its name."""
    if isinstance(weights, dict):
        source = weights["source"]
        value = weights.get("value", "")
    else:
        source, _, value = str(weights).partition(":")
    if source == "random":
        return ""
    if source == "file":
        return PurePath(value).name
    return f"{source}:{value}" if value else source


def _number(value: Any, key: str, record: RunRecord) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise EchoLMError(
            f"{record.path}: metric {key!r} is {value!r}, not a number; {AGAIN}"
        ) from None


def _ms(seconds: float) -> int:
    return round(1000 * seconds)


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return text[: limit - 1] + "…"
