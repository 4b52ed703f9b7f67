"""Equal clips of two splits whose files are headers: what counts are the pixels beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK

from echolm.stores.check_videos import check_dataset


def write(root: Path, name: str, pictures: np.ndarray) -> None:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(pictures), str(root / f"{name}.mhd"))


def own_files(root: Path) -> Path:
    """Of a, b and c, the last has the pixels of the first. Headers differ in a name alone."""
    random = np.random.default_rng(0)
    first, second = random.integers(2, 256, (2, 6, 32, 32), np.uint8)
    root.mkdir()
    for name, pictures in (("a", first), ("b", second), ("c", first)):
        write(root, name, pictures)
    rows = ["file,patient,split", "a.mhd,1,train", "b.mhd,2,val", "c.mhd,3,test"]
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    return root


def test_equal_pixels_are_found(tmp_path: Path) -> None:
    scan = check_dataset("folder", own_files(tmp_path / "mine"), progress=False)
    assert [str(problem) for problem in scan.problems] == [
        "c.raw: c.mhd: in split test, its file is byte for byte that of a.mhd in split train"
    ]


def test_equal_headers_of_other_pixels_are_no_problem(tmp_path: Path) -> None:
    """Names of equal length, and headers that say the same of their pictures."""
    root = own_files(tmp_path / "mine")
    for name in "abc":
        (root / name).mkdir()
        header = (root / f"{name}.mhd").read_text().replace(f"{name}.raw", "x.raw")
        (root / name / "x.mhd").write_text(header)
        (root / f"{name}.raw").rename(root / name / "x.raw")
        (root / f"{name}.mhd").unlink()
    rows = ["file,patient,split", "a/x.mhd,1,train", "b/x.mhd,2,val"]
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    scan = check_dataset("folder", root, progress=False)
    assert (root / "a" / "x.mhd").read_bytes() == (root / "b" / "x.mhd").read_bytes()
    assert not [problem for problem in scan.problems if "byte for byte" in problem.reason]
