"""Predictions of one slot, made for a test."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

PATIENTS = 60


def dice_at_ed(dice: np.ndarray, **columns: np.ndarray) -> pa.Table:
    """Predictions whose Dice at ED is given, one clip a patient; with further columns."""
    count = len(dice)
    ids = [f"p{number}" for number in range(count)]
    return pa.table(
        {
            "sample": ids,
            "patient": ids,
            "split": ["test"] * count,
            "target": ["landmarks"] * count,
            "slot": ["ED"] * count,
            "dice": dice,
            **columns,
        }
    )
