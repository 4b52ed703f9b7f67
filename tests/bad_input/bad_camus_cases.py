"""Cases of bad input: CAMUS with damaged cfg, masks, pictures and lists of its splits."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import numpy as np
from bad_input_case import Case, accepted, refused
from bad_input_support import Make, Place, change, cut, folder, remove, steps, swap, write

from tests.echolm.datasets.camus_release import cfg, pictures_of, write_nifti, write_release

CAMUS = "{root}/CAMUS_public"
PATIENT = f"{CAMUS}/database_nifti/patient0002"
CFG = f"{PATIENT}/Info_2CH.cfg"
MASK = f"{PATIENT}/patient0002_4CH_ED_gt.nii.gz"
SEQUENCE = f"{PATIENT}/patient0002_2CH_half_sequence.nii.gz"
TRAINING = f"{CAMUS}/database_split/subgroup_training.txt"
CHECK = f"echolm data check camus {CAMUS}"
NO_VOLUMES = "the patient's half sequences have no ef, esv and edv"


def release(*damage: Make) -> Make:
    """A sound release, and then what is wrong with it."""

    def make(place: Place) -> None:
        write_release(place.path(CAMUS))

    return steps(make, *damage)


def sequence_of(pictures: np.ndarray) -> Make:
    """A half sequence of other pictures."""
    return lambda place: write_nifti(place.path(SEQUENCE), pictures)


def in_gzip(edit: Callable[[bytearray], None]) -> Callable[[bytes], bytes]:
    """Other bytes inside a gzipped file."""

    def changed(content: bytes) -> bytes:
        inner = bytearray(gzip.decompress(content))
        edit(inner)
        return gzip.compress(bytes(inner))

    return changed


def announce_much(content: bytearray) -> None:
    """A NIfTI header of 32,767 x 32,767 x 32,767 pixels."""
    content[40] = 3  # axes
    content[42:48] = b"\xff\x7f" * 3


def bad_cfg(name: str, damage: Make, says: str) -> Case:
    """One cfg cannot be used; the other views can."""
    return accepted(name, release(damage), CHECK, f"patient0002/Info_2CH.cfg{says}")


def bad_mask(name: str, damage: Make, says: str) -> Case:
    """A mask gives no volume, and the patient's videos stay."""
    first = "patient0002/patient0002_4CH_ED_gt.nii.gz: patient0002: mask of 4CH at ED: "
    return accepted(name, release(damage), CHECK, f"{first}{says}", NO_VOLUMES)


def bad_sequence(name: str, damage: Make, says: str) -> Case:
    """A half sequence cannot be read; the others can."""
    first = "patient0002/patient0002_2CH_half_sequence.nii.gz: patient0002_2CH: "
    return accepted(name, release(damage), CHECK, f"{first}{says}")


CAMUS_CASES = [
    refused(
        "CAMUS where there is another dataset",
        release(),
        "echolm data check camus {source}",
        "Error: {source}: no patients of CAMUS here; give the folder that holds database_nifti/",
    ),
    bad_cfg(
        "a cfg whose ED is counted from 0",
        write(CFG, cfg(ED=0)),
        ":1: patient0002_2CH: ED is '0'; valid: 1 to 5",
    ),
    bad_cfg(
        "a cfg whose ES is beyond the last frame",
        write(CFG, cfg(ES=99)),
        ":2: patient0002_2CH: ES is '99'; valid: 1 to 5",
    ),
    bad_cfg("a cfg of zeros", write(CFG, b"\0" * 4096), ":1: patient0002_2CH: is no text"),
    bad_cfg(
        "a cfg cut off", write(CFG, "ED: 1\nES: 5\n"), ": patient0002_2CH: has no line NbFrame"
    ),
    bad_cfg("a folder as a cfg", folder(CFG), ": patient0002_2CH: cannot be read: Is a directory"),
    bad_mask(
        "an empty mask",
        lambda place: write_nifti(place.path(MASK), np.zeros((80, 40), np.uint8)),
        "holds no pixel of the left ventricle",
    ),
    bad_mask("a mask cut off", cut(MASK, 0.8), "the NIfTI file is damaged or truncated"),
    bad_mask(
        "a mask that announces a terabyte",
        change(MASK, in_gzip(announce_much)),
        "its header announces 35,181,150,961,663 values of 1 bytes",
    ),
    accepted(
        "masks of exchanged phases",
        release(
            lambda place: [
                place.path(f"{PATIENT}/patient0002_{view}_{old}_gt.nii.gz").rename(
                    place.path(f"{PATIENT}/patient0002_{view}_{new}_gt.nii.gz")
                )
                for view in ("2CH", "4CH")
                for old, new in (("ED", "XX"), ("ES", "ED"), ("XX", "ES"))
            ]
        ),
        CHECK,
        "patient0002: patient0002: the masks hold",
        "are the phases exchanged?",
    ),
    bad_sequence(
        "a half sequence cut off", cut(SEQUENCE), "the NIfTI file is damaged or truncated"
    ),
    bad_sequence(
        "a half sequence of fewer frames than its cfg says",
        sequence_of(pictures_of(1, frames=3)),
        "has no frame 4; it holds 3 frames (0 to 2)",
    ),
    bad_sequence(
        "a half sequence of brightness in 0-1",
        sequence_of(pictures_of(1).astype(np.float32) / 255),
        "has pixel values from 0 to 1, which would all be black",
    ),
    bad_sequence(
        "a half sequence of 16 bits",
        sequence_of(pictures_of(1).astype(np.int16) * 16 - 100),
        "has pixel values from -100 to 3980; valid: gray levels from 0 to 255",
    ),
    refused(
        "a rule of volumes that is none",
        release(),
        f"{CHECK} --set volumes=simson",
        "Error: --set of dataset camus: volumes: 'simson' is not valid; did you mean 'simpson'? "
        "valid: released, simpson",
    ),
    refused(
        "a patient in two lists of CAMUS",
        release(write(TRAINING, "patient0002\npatient0003\n")),
        CHECK,
        "database_split/subgroup_validation.txt:1: patient0003 is in subgroup_training.txt too",
    ),
    refused(
        "a list of CAMUS is missing",
        release(remove(TRAINING)),
        CHECK,
        f"Error: {CAMUS}/database_split: subgroup_training.txt is not there, but ",
    ),
    accepted(
        "a list of CAMUS without a patient that is there",
        release(swap(TRAINING, "patient0002", "patient0099")),
        CHECK,
        "patient0002: patient0002: is in none of the lists of database_split/",
    ),
]
