"""Splits that are drawn by a seed, patient by patient, where a dataset has none."""

from __future__ import annotations

from collections.abc import Iterable

from echolm.errors import EchoLMError
from echolm.randomness import word

WORDS = 2.0**64
"""Values that a hash may have."""


def draw_split(patient: str, seed: int, val: float, test: float) -> str:
    """Draw the split of one patient. It depends on no other patient, so shares are not exact.

    The draw is a place between 0 and 1: ``test`` is at its beginning, ``val`` follows.
    """
    place = word("split", seed, patient) / WORDS
    if place < test:
        return "test"
    if place < test + val:
        return "val"
    return "train"


def draw_splits(patients: Iterable[str], seed: int, val: float, test: float) -> dict[str, str]:
    """Draw a split for each patient.

    Patients are put in an order of chance, by a hash of the seed and the patient's id. The first
    are val, the next test, the others train. So neither the order of ``patients`` nor how often one
    is named matters, and one patient more moves at most a few others.

    Args:
        patients: their ids.
        seed: another seed draws other splits.
        val: share of the patients, rounded to whole patients. At least one if there are three.
        test: likewise.

    Returns:
        Patient -> ``train``, ``val`` or ``test``.

    Raises:
        EchoLMError: a share is not in 0-1, or both leave nothing to train on.
    """
    for name, share in (("val", val), ("test", test)):
        if not 0 <= share < 1:
            raise EchoLMError(
                f"{name} is {share}; valid: a share of the patients from 0 to below 1"
            )
    if val + test >= 1:
        raise EchoLMError(f"val {val} and test {test} leave no patient to train on; valid: below 1")
    ordered = sorted(set(patients), key=lambda patient: (word("split", seed, patient), patient))
    val_end = _count(val, len(ordered))
    test_end = val_end + _count(test, len(ordered))
    splits = {}
    for number, patient in enumerate(ordered):
        if number < val_end:
            splits[patient] = "val"
        elif number < test_end:
            splits[patient] = "test"
        else:
            splits[patient] = "train"
    return splits


def _count(share: float, patients: int) -> int:
    """Return how many of the patients a share is."""
    if not share or patients < 3:
        return 0
    return max(1, round(share * patients))
