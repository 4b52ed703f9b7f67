"""CAMUS: 500 patients in two apical views, with masks (Leclerc et al. 2019), in both releases.

An item is the half sequence of one view, of the frames from ED to ES or from ES to ED. Those that
run from ES to ED stay as they are: ``ed`` is then the larger number. Pixels are stored as they are,
of CAMUS 0.308 x 0.154 mm (width x height): hearts look twice as high as they are.

Volumes are those of the patient, computed from the masks of both views at ED and ES. Which of two
rules computes them is the field ``volumes``, see ``echolm.volumes``. What the release itself says
stands beside them (``ef_released``). Masks themselves are not stored.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from echolm.datasets import DATASETS, Dataset
from echolm.datasets.camus_info import InfoError, ViewInfo, read_info
from echolm.datasets.camus_layout import (
    PHASES,
    SPLIT,
    TESTING,
    VIEWS,
    PatientFolder,
    Release,
    find_release,
)
from echolm.datasets.camus_split import NUMBERS, Splits, split_patients
from echolm.datasets.scan import PHANTOM, Problem, Scan, SourceItem, shared_patients
from echolm.errors import EchoLMError
from echolm.identity import canonical_json
from echolm.media.mhd import is_mhd, read_mhd_raster
from echolm.media.nifti import read_nifti_raster
from echolm.text import counted
from echolm.volumes import Disks, MaskError, Rule, biplane_volumes, measure_disks

CAVITY = 1
"""Label of the left ventricle's cavity. 2 is the myocardium, 3 the left atrium."""
DECIMALS = 3
"""Of volumes and EF: the last bits of a sum depend on the processor."""
RULES = {
    "simpson": "each phase has its own height of disks",
    "released": "all disks have one height, as in the published script: ESV comes out too large",
}


@DATASETS.register
class Camus(Dataset):
    """Half sequences of apical two- and four-chamber views, with volumes from masks.

    Attributes:
        split: ``subgroups`` (the lists in ``database_split``), ``ids`` (1-400, 401-450, 451-500),
            or ``auto``: the lists where they are there.
        volumes: how EF, ESV and EDV are computed of masks: ``simpson`` (standard) or ``released``.
    """

    name: Literal["camus"] = "camus"
    noun: ClassVar[str] = "half sequence"
    clip_rule: ClassVar[str] = "ed-to-es-16"
    split: Literal["auto", "subgroups", "ids"] = "auto"
    volumes: Rule = "simpson"

    @classmethod
    def published_counts(cls, where: Mapping[str, Sequence[Any]]) -> Mapping[str, int]:
        """Return the half sequences of each split: one of either view of 400, 50, 50 patients."""
        views = len(where.get("view", ("2CH", "4CH")))
        return {"train": 400 * views, "val": 50 * views, "test": 50 * views}

    def scan(self, root: Path) -> Scan:
        """List all half sequences at ``root``. The masks of ED and ES are read for the volumes.

        Values of an item: ``view``, ``ed``, ``es`` (frame numbers), ``split_from`` (``subgroups``
        or ``ids``), and where they are known ``sex``, ``age``, ``quality``, ``fps``, ``ef``
        (percent), ``esv``, ``edv`` (ml) of the masks, and ``ef_released``, ``esv_released``,
        ``edv_released`` of the cfg.

        Raises:
            EchoLMError: neither release is there, or a list of its splits cannot be used.
        """
        release = find_release(root)
        splits = split_patients(release, self.split)
        usable = [folder for folder in release.patients if folder.patient in splits.of]
        reader = _Reader(release.root, splits, self.volumes)
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            read = list(pool.map(reader.read, usable))
        items: list[SourceItem] = []
        problems = release.problems + splits.problems
        for patient_items, patient_problems in read:
            items += patient_items
            problems += patient_problems
        items.sort(key=lambda item: item.sample)
        return Scan(
            reader=self.name,
            root=release.root,
            items=items,
            problems=problems,
            fatal=_fatal(items, splits),
            identity=_identity(release, splits, self.volumes, usable),
            synthetic=any((folder / PHANTOM).is_file() for folder in release.above),
            facts={"split": splits.source, "volumes": self.volumes, **_count(items)},
        )

    def generate_phantom(
        self,
        folder: Path,
        items: int,
        seed: int,
        clips_per_patient: int = 1,
        progress: bool = False,
    ) -> None:
        """Generate CAMUS's NIfTI release, of beating ventricles that are made up.

        Every patient has both views, so ``items`` is even.
        """
        from echolm.datasets.phantom.camus import generate_camus

        generate_camus(folder, items, seed, clips_per_patient, progress)

    def remarks(self, scan: Scan) -> list[str]:
        """Say how patients were split, how volumes were computed, and how they compare."""
        facts = scan.facts
        ranges = [f"{start}-{end} {split}" for split, (start, end) in NUMBERS.items()]
        split = f"the lists of {SPLIT}"
        if facts["split"] == "ids":
            split = f"the patients' numbers ({', '.join(ranges)})"
        lines = [
            f"split by {split}",
            f"volumes by rule {self.volumes}: {RULES[self.volumes]}",
        ]
        if facts["compared"]:
            lines.append(
                f"EF of the masks differs from that of the release by {facts['ef_difference']:.1f} "
                f"points on average, over {counted(facts['compared'], 'half sequence')}"
            )
        lines.append(
            f"{counted(facts['es_first'], 'half sequence')} from ES to ED, kept in this order"
        )
        return lines


@dataclass(frozen=True, eq=False)
class _Reader:
    """Reads what is said of patients, and their masks.

    Attributes:
        root: the folder that names of files are relative to.
        splits: of the patients.
        rule: how volumes are computed.
    """

    root: Path
    splits: Splits
    rule: Rule

    def read(self, folder: PatientFolder) -> tuple[list[SourceItem], list[Problem]]:
        """Return the items of a patient, and what is wrong with its other files."""
        volumes, problems = self._volumes(folder)
        for name in folder.unknown_files():
            reason = "is no file of CAMUS"
            problems.append(Problem(self._name(folder.path / name), None, folder.patient, reason))
        items = []
        for view in VIEWS:
            item = self._item_or_problem(folder, view, volumes)
            if isinstance(item, SourceItem):
                items.append(item)
            else:
                problems.append(item)
        return items, problems

    def _item_or_problem(
        self, folder: PatientFolder, view: str, volumes: Mapping[str, float]
    ) -> SourceItem | Problem:
        sample = f"{folder.patient}_{view}"
        path = folder.info(view)
        try:
            info = read_info(path)
        except InfoError as error:
            return Problem(self._name(path), error.line, sample, str(error))
        except OSError as error:
            reason = f"cannot be read: {error.strerror or error}"
            return Problem(self._name(path), None, sample, reason)
        sequence = folder.sequence(view)
        if sequence is None:
            reason = f"no half sequence of view {view}"
            return Problem(self._name(folder.path), None, sample, reason)
        return self._item(folder, view, info, sequence, volumes)

    def _item(
        self,
        folder: PatientFolder,
        view: str,
        info: ViewInfo,
        sequence: Path,
        volumes: Mapping[str, float],
    ) -> SourceItem:
        facts = {"view": view, "split_from": self.splits.source}
        return SourceItem(
            sample=f"{folder.patient}_{view}",
            patient=folder.patient,
            split=self.splits.of[folder.patient],
            path=sequence,
            study=folder.patient,
            frame_count=info.frame_count,
            values={**volumes, **facts, **info.values},
        )

    def _volumes(self, folder: PatientFolder) -> tuple[dict[str, float], list[Problem]]:
        """Compute EF, ESV and EDV of a patient.

        Returns:
            These, or nothing and why. The hidden truth of ``testing`` is nobody's fault.
        """
        disks: dict[tuple[str, str], Disks] = {}
        problems = []
        for view in VIEWS:
            for phase in PHASES:
                path = folder.mask(view, phase)
                try:
                    disks[phase, view] = self._measure(path)
                except MaskError as error:
                    file = folder.path if path is None else path
                    problems.append(self._without_volumes(file, folder, error, view, phase))
        if len(disks) < len(VIEWS) * len(PHASES):
            hidden = folder.group == TESTING and not disks
            return {}, [] if hidden else problems
        try:
            volumes = biplane_volumes(disks, self.rule)
        except MaskError as error:
            return {}, [self._without_volumes(folder.path, folder, error)]
        numbers = {"ef": volumes.ef, "esv": volumes.esv, "edv": volumes.edv}
        return {name: round(number, DECIMALS) for name, number in numbers.items()}, []

    def _measure(self, path: Path | None) -> Disks:
        """Measure the disks of a mask. MaskError: there is none, or none that gives disks."""
        if path is None:
            raise MaskError("is not there")
        try:
            raster = read_mhd_raster(path) if is_mhd(path) else read_nifti_raster(path)
        except EchoLMError as error:
            raise MaskError(str(error).removeprefix(f"{path}: ")) from error
        except OSError as error:
            raise MaskError(f"cannot be read: {error.strerror or error}") from error
        if len(raster.values) != 1:
            raise MaskError(f"holds {len(raster.values)} pictures; valid: one")
        if raster.spacing is None:
            raise MaskError("states no size of its pixels")
        return measure_disks(raster.values[0] == CAVITY, raster.spacing, self.rule)

    def _without_volumes(
        self, file: Path, folder: PatientFolder, error: MaskError, view: str = "", phase: str = ""
    ) -> Problem:
        which = f"mask of {view} at {phase}: " if view else ""
        reason = f"{which}{error}; the patient's half sequences have no ef, esv and edv"
        return Problem(self._name(file), None, folder.patient, reason)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def _fatal(items: list[SourceItem], splits: Splits) -> list[str]:
    """Say what makes the set unusable."""
    if splits.fatal:
        return splits.fatal
    if not items:
        return ["no half sequence is usable"]
    return shared_patients(items)


def _identity(
    release: Release, splits: Splits, rule: Rule, patients: Iterable[PatientFolder]
) -> str:
    """Return SHA-256 over the tables, names and sizes of all files, and how both were used.

    Names are relative to the folder of the patients, so that it is the same wherever one points.
    """
    tables = {table.name: _sha256(table) for table in splits.tables}
    files: dict[str, Any] = {}
    for folder in patients:
        name = folder.path.relative_to(release.root).as_posix()
        files[name] = dict(sorted(folder.files.items()))
        for view in VIEWS:
            tables[f"{name}/{view}"] = _sha256(folder.info(view))
    content = {"tables": tables, "files": files, "split": splits.of, "volumes": rule}
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def _sha256(path: Path) -> str:
    """Return the SHA-256 of a file, '' where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _count(items: list[SourceItem]) -> dict[str, Any]:
    """Return the numbers that the remarks are about."""
    differences = []
    es_first = 0
    for item in items:
        values = item.values
        es_first += values["es"] < values["ed"]
        if "ef" in values and "ef_released" in values:
            differences.append(abs(values["ef"] - values["ef_released"]))
    mean = sum(differences) / len(differences) if differences else None
    return {"es_first": es_first, "compared": len(differences), "ef_difference": mean}
