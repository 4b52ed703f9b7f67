"""Open a list of as many files as MIMIC-IV-ECHO has, whose files are there and empty.

``python -m tests.benchmarks.mimic_list`` prints seconds and the peak of memory, ``--files N`` of
another number of files. The folders are in the page cache, as after a first look.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

FILES, STUDIES, SUBJECTS = 525_328, 7_243, 4_579
"""Of MIMIC-IV-ECHO."""
LIMIT_S, LIMIT_GB = 4.0, 1.5
ROUNDS = 5


def write_list(root: Path, files: int) -> None:
    """Write a record list in the layout of the dataset, a study list, LVEF, and empty files."""
    studies = max(1, round(STUDIES * files / FILES))
    records = ["subject_id,study_id,acquisition_datetime,dicom_filepath"]
    listed = ["subject_id,study_id,study_datetime,note_id,measurement_id,measurement_datetime"]
    results = ["subject_id,measurement_id,measurement_datetime,test_type,measurement,result,unit"]
    for study in range(studies):
        subject = 10_000_000 + 2_011 * (study * SUBJECTS // STUDIES)
        number = 90_000_000 + 1_303 * study
        listed.append(f"{subject},{number},2150-01-01 10:00:00,,{study},2150-01-01 11:00:00")
        results.append(f"{subject},{study},2150-01-01 11:00:00,tte,lvef,{30 + study % 40},%")
        folder = f"files/p{subject // 1_000_000}/p{subject}/s{number}"
        (root / folder).mkdir(parents=True)
        for name in _names(number, files, study, studies):
            os.close(os.open(root / folder / name, os.O_CREAT | os.O_WRONLY))
            records.append(f"{subject},{number},2150-01-01 10:00:00,{folder}/{name}")
    for name, lines in (
        ("echo-record-list.csv", records),
        ("echo-study-list.csv", listed),
        ("structured-measurement.csv", results),
    ):
        (root / name).write_text("\n".join(lines) + "\n")


def _names(number: int, files: int, study: int, studies: int) -> Iterator[str]:
    """Yield the names of a study's files, so that all studies together have ``files``."""
    first = study * files // studies
    for place in range((study + 1) * files // studies - first):
        yield f"{number}_{place + 1:04d}.dcm"


def _open(root: Path) -> dict[str, float]:
    """Scan the list in a process of its own, and measure that."""
    from echolm.datasets import scan_dataset

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, processor = time.perf_counter(), time.process_time()
    scan = scan_dataset("mimic-iv-echo", root)
    return {
        "seconds": time.perf_counter() - began,
        "processor": time.process_time() - processor,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "before": before * 1024 / 1e9,
        "items": len(scan.items),
        "problems": len(scan.problems),
    }


def main() -> None:
    """Measure in fresh processes, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=FILES)
    files = parser.parse_args().files
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_list(root, files)
        rounds = []
        for _ in range(ROUNDS):
            with get_context("spawn").Pool(1) as pool:
                rounds.append(pool.apply(_open, (root,)))
    seconds = sorted(each["seconds"] for each in rounds)
    processor = sorted(each["processor"] for each in rounds)
    peak = max(each["peak"] for each in rounds)
    middle = ROUNDS // 2
    print(f"{rounds[0]['items']:,.0f} files listed, {rounds[0]['problems']:.0f} problems")
    print(
        f"  opened in {seconds[middle]:.2f} s ({seconds[0]:.2f}-{seconds[-1]:.2f}), of which the "
        f"processor {processor[middle]:.2f} s; limit {LIMIT_S:g} s"
    )
    print(f"  peak memory {peak:.2f} GB ({rounds[0]['before']:.2f} GB before); limit {LIMIT_GB} GB")
    print(f"  load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
