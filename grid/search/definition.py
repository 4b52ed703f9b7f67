"""Search definitions: YAML in, the free fields of one run out.

::

    title: what is searched
    base: {...}                                      # fields of the run that all trials share
    space:                                           # the free fields, dotted for nested ones
      optimizer.lr: {float: [1.0e-4, 1.0e-2], log: true}
      head.width: {int: [16, 128], step: 16}
      trainable: {categorical: [k2, all]}            # labels as on the axis of a grid; {label: ..., set: {...}} too
    metric: {name: dice/ED, direction: max}          # of validation; default: what the task selects checkpoints by
    sampler: {name: tpe, seed: 0, startup: 10}       # or random; see grid/search/strategies.py
    pruner: {name: median, startup: 5, warmup: 3}    # or none

A search is named after its file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationError

from echolm.config import FinetuneConfig, PretrainConfig, explain_validation, load_yaml
from echolm.errors import EchoLMError
from echolm.registry import Frozen, suggest, validator
from echolm.tasks import Task
from grid.definition import Builder, check_name
from grid.search.dimensions import FORMS, Dimension, dimension
from grid.search.strategies import PRUNERS, SAMPLERS, Pruner, Sampler

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


class Metric(Frozen):
    """What a trial is judged by: a metric of the validation split, at the epoch that the task's rule selects."""

    name: str
    direction: Literal["min", "max"]


class SearchDefinition(Frozen):
    """The content of a search file."""

    title: str = ""
    base: dict[str, Any] = {}
    space: dict[str, Any]
    metric: str | dict[str, Any] | None = None
    sampler: Annotated[SerializeAsAny[Sampler], BeforeValidator(validator(SAMPLERS))] = Field(default="tpe", validate_default=True)  # type: ignore[assignment]
    pruner: Annotated[SerializeAsAny[Pruner], BeforeValidator(validator(PRUNERS))] = Field(default="median", validate_default=True)  # type: ignore[assignment]


@dataclass(frozen=True)
class Search:
    """A definition with its free fields by name. ``where``: the file that errors name."""

    name: str
    title: str
    where: str
    definition: SearchDefinition
    dimensions: dict[str, Dimension]
    metric: Metric

    def config(self, parameters: Mapping[str, Any]) -> FinetuneConfig | PretrainConfig:
        """The run that these values of the free fields stand for; EchoLMError when there is no such run."""
        return Builder(self.definition.base, self.where)(self._settings(parameters), {k: str(v) for k, v in parameters.items()})

    def values(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The same as plain data, as one would write it into a file."""
        return Builder(self.definition.base, self.where).values(self._settings(parameters))

    def distributions(self) -> dict[str, BaseDistribution]:
        """The free fields as Optuna takes them."""
        return {name: free.distribution() for name, free in self.dimensions.items()}

    def samples(self) -> list[dict[str, Any]]:
        """Values of the free fields that together hold each end of a range and each label."""
        first = {name: free.ends()[0] for name, free in self.dimensions.items()}
        others = [{**first, name: end} for name, free in self.dimensions.items() for end in free.ends()[1:]]
        return [first, *others]

    def _settings(self, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [self.dimensions[name].setting(value) for name, value in parameters.items()]

    def plain(self) -> dict[str, Any]:
        """The definition as JSON, with what was left out filled in."""
        return {**self.definition.model_dump(mode="json"), "metric": self.metric.model_dump()}


def load_search(name: str) -> Search:
    """A search by the name of a shipped definition or the path of a YAML file."""
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        shipped = shipped_searches()
        if name not in shipped:
            raise EchoLMError(f"no search {name!r}; {suggest(name, shipped)}; or give the path of a .yaml file")
        path = shipped[name]
    check_name(path, "search")
    return parse_search(load_yaml(path), path.stem, str(path))


def shipped_searches() -> dict[str, Path]:
    """Name -> file of the definitions that come with EchoLM."""
    folder = Path(str(resources.files("grid") / "spaces"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def parse_search(values: Any, name: str, where: str) -> Search:
    """A search from plain data; ``where`` names its source in errors. Both ends of each range must give a run."""
    if not isinstance(values, dict):
        raise EchoLMError(f"{where}: a search is a mapping with 'base' and 'space'; this is {type(values).__name__}")
    try:
        definition = SearchDefinition.model_validate(values)
    except ValidationError as error:
        raise EchoLMError(explain_validation(error, where)) from None
    if not definition.space:
        raise EchoLMError(f"{where}: space: names no field; valid: field: one of {FORMS}")
    free = {field: dimension(field, value, f"{where}: space.{field}") for field, value in definition.space.items()}
    search = Search(name, definition.title, where, definition, free, Metric(name="loss", direction="min"))
    runs = [search.config(sample) for sample in search.samples()]
    return replace(search, metric=_metric(definition.metric, runs[0].task, f"{where}: metric"))


def _metric(given: str | dict[str, Any] | None, task: Task, where: str) -> Metric:
    """What is asked for, with its direction; without it, what the task selects checkpoints by."""
    select, known = task.select, task.describe()
    if given is None:
        return Metric(name=select[0], direction=select[1])
    values = {"name": given} if isinstance(given, str) else dict(given)
    if isinstance(name := values.get("name"), str):
        values["name"] = name = name.removeprefix("val/")
        if name.startswith(("test/", "train/")):
            raise EchoLMError(f"{where}: {name!r} is not of the validation split, and a search knows no other; write loss or dice/ED")
        if known and name.split("/")[0] not in (valid := {"loss", select[0], *known}):
            raise EchoLMError(f"{where}: task {task.name} has no metric {name!r}; {suggest(name, valid)}, each with its slot: dice/ED")
        if direction := _direction(name, select, known):
            values.setdefault("direction", direction)
    try:
        return Metric.model_validate(values)
    except ValidationError as error:
        raise EchoLMError(explain_validation(error, where)) from None


def _direction(name: str, select: tuple[str, str], known: dict[str, Any]) -> str | None:
    """The direction that is known of a metric."""
    if name == select[0]:
        return select[1]
    better = known.get(name.split("/")[0], {}).get("better")
    return {"higher": "max", "lower": "min"}.get(better, "min" if name == "loss" else None)
