"""Cases of bad input: choices of a dataset, sizes and clip rules. See ``bad_input_cases.py``."""

from __future__ import annotations

from bad_input_case import CHECK, PREPARE, refused
from bad_input_support import Make, steps

NOTHING: Make = steps()

PREPARATIONS = [
    refused(
        "a choice that a dataset does not have",
        NOTHING,
        f"{PREPARE} --set fold=1",
        "Error: --set fold: no field of dataset echonet-dynamic; valid: disagreement",
    ),
    refused(
        "a choice without a value",
        NOTHING,
        f"{CHECK} --set fold",
        "Error: --set 'fold': valid: FIELD=VALUE, such as fold=1",
    ),
    refused(
        "a choice that is no YAML",
        NOTHING,
        f"{CHECK} --set fold=[1",
        "Error: --set fold: not valid YAML",
    ),
    refused(
        "a size of nothing",
        NOTHING,
        f"{PREPARE} --size 0",
        "Error: --size 0: valid: 1 to 4096 pixels",
    ),
    refused(
        "a size of frames that stay in the videos",
        NOTHING,
        f"{PREPARE} --size 56 --index-only",
        "Error: --index-only with --size: frames that stay in the videos have the videos' size",
    ),
    refused(
        "a clip rule of no frames",
        NOTHING,
        f"{PREPARE} --clips uniform-0",
        "Error: clip rule 'uniform-0': valid: uniform-N with N from 1 to 1000, such as uniform-24",
    ),
    refused(
        "a clip rule of too large a step",
        NOTHING,
        f"{PREPARE} --clips every-5000",
        "Error: clip rule 'every-5000': valid: every-P with P from 1 to 1000",
    ),
    refused(
        "a clip rule without its number",
        NOTHING,
        f"{PREPARE} --clips uniform",
        "Error: unknown clip rule 'uniform'; ",
        "uniform-N and every-P with a number from 1 to 1000",
    ),
]
