"""Search definitions: YAML in, the free fields of one run out.

::

    title: what is searched
    base: {...}                                      # fields of the run that all trials share
    space:                                           # the free fields, dotted for nested ones
      optimizer.lr: {float: [1.0e-4, 1.0e-2], log: true}
      head.width: {int: [16, 128], step: 16}
      trainable: {categorical: [k2, all]}            # labels as on the axis of a grid,
                                                     # {label: ..., set: {...}} too
    metric: {name: dice/ED, direction: max}          # of validation. Default: what the task
                                                     # selects checkpoints by
    sampler: {name: tpe, seed: 0, startup: 10}       # or random, see grid/search/samplers.py
    pruner: {name: median, startup: 5, warmup: 3}    # or halving, or none

A search is named after its file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationError

from echolm.config import FinetuneConfig, PretrainConfig, parse_config
from echolm.errors import EchoLMError
from echolm.registry import Frozen, validator
from echolm.tasks import Goal
from echolm.text import suggest
from echolm.yaml_files import explain_validation, load_yaml
from grid.definition.expand import Builder
from grid.definition.grid import check_name
from grid.search.dimensions import FORMS, Dimension, dimension
from grid.search.samplers import PRUNERS, SAMPLERS, Pruner, Sampler

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


class Metric(Frozen):
    """What a trial is judged by.

    It is a metric of the validation split, at the epoch that the task's rule selects.
    """

    name: str
    direction: Literal["min", "max"]


class SearchDefinition(Frozen):
    """The content of a search file."""

    title: str = ""
    base: dict[str, Any] = {}
    space: dict[str, Any]
    metric: str | dict[str, Any] | None = None
    sampler: Annotated[SerializeAsAny[Sampler], BeforeValidator(validator(SAMPLERS))] = Field(
        default="tpe", validate_default=True
    )  # type: ignore[assignment]
    pruner: Annotated[SerializeAsAny[Pruner], BeforeValidator(validator(PRUNERS))] = Field(
        default="median", validate_default=True
    )  # type: ignore[assignment]


@dataclass(frozen=True)
class Search:
    """A definition with its free fields by name.

    Attributes:
        name: the search's name.
        title: what is searched.
        where: the file that errors name.
        definition: the content of the file.
        dimensions: the free fields.
        metric: what a trial is judged by.
    """

    name: str
    title: str
    where: str
    definition: SearchDefinition
    dimensions: dict[str, Dimension]
    metric: Metric

    def config(self, parameters: Mapping[str, Any]) -> FinetuneConfig | PretrainConfig:
        """Return the run that these values of the free fields stand for.

        Raises:
            EchoLMError: there is no such run.
        """
        build = Builder(self.definition.base, self.where)
        coordinates = {name: str(value) for name, value in parameters.items()}
        return build(self._settings(parameters), coordinates)

    def values(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the same as plain data, as one would write it into a file."""
        return Builder(self.definition.base, self.where).values(self._settings(parameters))

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return the free fields as Optuna takes them."""
        return {name: free.distribution() for name, free in self.dimensions.items()}

    def samples(self) -> list[dict[str, Any]]:
        """Return values of the free fields that hold each end of a range and each label."""
        first = {name: free.ends()[0] for name, free in self.dimensions.items()}
        samples = [first]
        for name, free in self.dimensions.items():
            for end in free.ends()[1:]:
                samples.append({**first, name: end})
        return samples

    def _settings(self, parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [self.dimensions[name].setting(value) for name, value in parameters.items()]

    def plain(self) -> dict[str, Any]:
        """Return the definition as JSON, with what was left out filled in."""
        return {**self.definition.model_dump(mode="json"), "metric": self.metric.model_dump()}


def load_search(name: str) -> Search:
    """Load a search by the name of a shipped definition or the path of a YAML file."""
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        shipped = shipped_searches()
        if name not in shipped:
            raise EchoLMError(
                f"no search {name!r}; {suggest(name, shipped)}; or give the path of a .yaml file"
            )
        path = shipped[name]
    check_name(path, "search")
    search = parse_search(load_yaml(path), path.stem, str(path))
    for sample in search.samples():
        # Weights must be written where an encoder has published ones.
        parse_config(search.values(sample), search.where, typed=True)
    return search


def shipped_searches() -> dict[str, Path]:
    """Return the definitions that come with EchoLM: name -> file."""
    folder = Path(str(resources.files("grid") / "spaces"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def parse_search(values: Any, name: str, where: str) -> Search:
    """Read a search from plain data. Both ends of each range must give a run.

    Args:
        values: the content of a file.
        name: the search's name.
        where: names the source in errors.

    Raises:
        EchoLMError: the content is not valid.
    """
    if not isinstance(values, dict):
        kind = type(values).__name__
        raise EchoLMError(f"{where}: a search is a mapping with 'base' and 'space'; this is {kind}")
    try:
        definition = SearchDefinition.model_validate(values)
    except ValidationError as error:
        raise EchoLMError(explain_validation(error, where)) from None
    if not definition.space:
        raise EchoLMError(f"{where}: space: names no field; valid: field: one of {FORMS}")
    dimensions: dict[str, Dimension] = {}
    for field, value in definition.space.items():
        dimensions[field] = dimension(field, value, f"{where}: space.{field}")
    # The metric is known when the run is: until then, any will do.
    metric = Metric(name="loss", direction="min")
    search = Search(name, definition.title, where, definition, dimensions, metric)
    runs = [search.config(sample) for sample in search.samples()]
    return replace(search, metric=_metric(definition.metric, runs[0].goal, f"{where}: metric"))


def _metric(content: str | dict[str, Any] | None, task: Goal, where: str) -> Metric:
    """Return what is asked for, with its direction.

    Without a metric in the file, it is what the task selects checkpoints by.
    """
    selecting, direction = task.select
    if content is None:
        return Metric(name=selecting, direction=direction)
    values = {"name": content} if isinstance(content, str) else dict(content)
    name = values.get("name")
    if isinstance(name, str):
        name = name.removeprefix("val/")
        values["name"] = name
        _check_metric(name, task, where)
        known_direction = _direction(name, task)
        if known_direction:
            values.setdefault("direction", known_direction)
    try:
        return Metric.model_validate(values)
    except ValidationError as error:
        raise EchoLMError(explain_validation(error, where)) from None


def _check_metric(name: str, task: Goal, where: str) -> None:
    if name.startswith(("test/", "train/")):
        raise EchoLMError(
            f"{where}: {name!r} is not of the validation split, and a search knows no other; "
            "write loss or dice/ED"
        )
    metrics = task.describe()
    valid = {"loss", task.select[0], *metrics}
    if metrics and name.split("/")[0] not in valid:
        raise EchoLMError(
            f"{where}: task {task.name} has no metric {name!r}; {suggest(name, valid)}, "
            "each with its slot: dice/ED"
        )


def _direction(name: str, task: Goal) -> str | None:
    """Return the direction that is known of a metric."""
    selecting, direction = task.select
    if name == selecting:
        return direction
    better = task.describe().get(name.split("/")[0], {}).get("better")
    if better == "higher":
        return "max"
    if better == "lower" or name == "loss":
        return "min"
    return None
