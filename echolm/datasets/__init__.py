"""Datasets: one file for each, and the phantom.

A dataset is a class that reads the folder in which a dataset is distributed and lists its items,
without decoding them. To add one, write such a class in a new file and name its module in
``DATASETS``, or register it from a plugin (``ECHOLM_PLUGINS``, see ``echolm.registry``). ``echolm
data check`` and ``echolm data prepare`` then know its name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ValidationError

from echolm.datasets.scan import SPLITS, Scan
from echolm.errors import EchoLMError
from echolm.registry import Component, Registry
from echolm.text import suggest
from echolm.yaml_files import explain_validation


class Dataset(Component):
    """A dataset, by the name that is typed after ``echolm data check``.

    Its fields are choices with defaults, such as a fold or what is done with colour. ``--set
    FIELD=VALUE`` types one.
    """

    noun: ClassVar[str] = "item"
    """What one item is called where items are counted. Its plural adds an ``s``."""
    without: ClassVar[str] = "values"
    """What the notes of a scan are about: they are listed as items without it."""
    joins_pictures: ClassVar[bool] = False
    """Whether an item is a study of still pictures, each in a file of its own."""
    clip_rule: ClassVar[str] = "all"
    """The clip rule that suits its items: what is typed to prepare its phantom."""

    def scan(self, root: Path) -> Scan:
        """List the items of the dataset at ``root``, and what is wrong with the others.

        The tables are read and the files are listed. No file is decoded.

        Raises:
            EchoLMError: the folder is not this dataset, or a table cannot be read at all.
        """
        raise TypeError(f"dataset {self.name} does not implement scan")

    def generate_phantom(
        self,
        folder: Path,
        items: int,
        seed: int,
        clips_per_patient: int = 1,
        progress: bool = False,
    ) -> None:
        """Generate a dataset in this dataset's layout, of beating ventricles that are made up.

        Stopped, the same call continues it. The same arguments give the same files, byte for byte.

        Args:
            folder: a new folder, or the one of a stopped call.
            items: how many items.
            seed: what the ventricles are drawn from.
            clips_per_patient: items of one heart.
            progress: whether to show how far it is, on standard error.
        """
        raise TypeError(f"dataset {self.name} does not implement generate_phantom")

    def choices(self) -> dict[str, Any]:
        """Return the fields that differ from their default, by name, as JSON can hold them."""
        chosen = {}
        for name, value in self.model_dump(mode="json").items():
            default = type(self).model_fields[name].get_default(call_default_factory=True)
            if name != "name" and getattr(self, name) != default:
                chosen[name] = value
        return chosen

    @classmethod
    def published_counts(cls, where: Mapping[str, Sequence[Any]]) -> Mapping[str, int]:
        """Return how many items each split has as published, for forecasts without the data.

        Args:
            where: values that a run asks of its items, as ``view``.

        Returns:
            Nothing where that is not known.
        """
        return {}

    @classmethod
    def has_phantom(cls) -> bool:
        """Return whether the dataset implements ``generate_phantom``."""
        return cls.generate_phantom is not Dataset.generate_phantom

    def remarks(self, scan: Scan) -> list[str]:
        """Return what else a user should know about the scanned files, a sentence each."""
        return []


DATASETS: Registry[Dataset] = Registry(
    "dataset",
    [
        "echolm.datasets.camus",
        "echolm.datasets.echonet_dynamic",
        "echolm.datasets.echonet_lvh",
        "echolm.datasets.echonet_pediatric",
        "echolm.datasets.folder",
        "echolm.datasets.mimic_iv_echo",
        "echolm.datasets.tmed2",
    ],
)


def scan_dataset(dataset: str | Dataset, root: Path) -> Scan:
    """Scan a dataset at ``root``.

    Args:
        dataset: the dataset with its choices, or its name.
        root: the dataset's folder.

    Raises:
        EchoLMError: an unknown dataset, tables that cannot be read at all, or a dataset class that
            lists items which no store can hold.
    """
    scan = DATASETS.parse(dataset).scan(Path(root))
    _check_items(scan)
    return scan


def item_noun(reader: str) -> str:
    """Return what one item of a dataset is called, by the dataset's name: ``half sequence``."""
    return DATASETS.get(reader).noun


def choose_dataset(name: str, choices: dict[str, Any]) -> Dataset:
    """Return the dataset called ``name`` with these choices.

    Args:
        name: of the dataset.
        choices: values of its fields, by name.

    Raises:
        EchoLMError: an unknown dataset or field, or a value that the field does not take.
    """
    cls = DATASETS.get(name)
    fields = [field for field in cls.model_fields if field != "name"]
    for field in choices:
        if field in fields:
            continue
        if not fields:
            raise EchoLMError(f"--set {field}: dataset {name} has no choices")
        raise EchoLMError(f"--set {field}: no field of dataset {name}; {suggest(field, fields)}")
    if not choices:
        return DATASETS.parse(name)
    try:
        return DATASETS.parse({"name": name, **choices})
    except ValidationError as error:
        raise EchoLMError(explain_validation(error, f"--set of dataset {name}")) from None


def _check_items(scan: Scan) -> None:
    """Raise EchoLMError unless samples are unique and sorted, and the splits are known."""
    last = ""
    for item in scan.items:
        if item.split not in SPLITS:
            raise EchoLMError(
                f"dataset {scan.reader}: item {item.sample!r} is in split {item.split!r}; "
                f"valid: {', '.join(SPLITS)}"
            )
        if item.sample <= last:
            raise EchoLMError(
                f"dataset {scan.reader}: item {item.sample!r} comes after {last!r}; "
                "valid: each sample once, sorted by sample"
            )
        last = item.sample
