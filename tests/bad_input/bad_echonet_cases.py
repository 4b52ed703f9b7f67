"""Cases of bad input: EchoNet-Dynamic's labels that contradict each other, and videos without
landmarks. See ``bad_input_cases.py``."""

from __future__ import annotations

from bad_input_case import CHECK, FILES, PREPARE, STORE, TRACINGS, accepted, refused
from bad_input_support import Make, cell, rows, steps, write


def shifted(*columns: str) -> Make:
    """Labels that stand one row too low."""

    def edit(table: list[list[str]]) -> list[list[str]]:
        for column in columns:
            number = table[0].index(column)
            cells = [row[number] for row in table[1:]]
            for row, value in zip(table[1:], [cells[-1], *cells[:-1]], strict=True):
                row[number] = value
        return table

    return rows(FILES, edit)


untraced = rows(TRACINGS, lambda table: table[:43] + table[85:])

ECHONET = [
    refused(
        "ejection fractions shifted by a row",
        shifted("EF"),
        PREPARE,
        "Error: {source}: FileList.csv: EF is not 100 (EDV - ESV) / EDV in ",
        " of 12 videos (0X",
        "are labels shifted against others by a row?",
    ),
    refused(
        "volumes shifted by a row",
        shifted("ESV", "EDV"),
        CHECK,
        "unusable: FileList.csv: EF is not 100 (EDV - ESV) / EDV in ",
    ),
    accepted(
        "one ejection fraction of another video",
        cell(FILES, 3, "EF", "5"),
        CHECK,
        "EF is not 100 (EDV - ESV) / EDV in 1 video ({sample})",
    ),
    accepted(
        "a video without tracings",
        untraced,
        CHECK,
        "12 videos usable (8 train, 2 val, 2 test), problems: 0, without landmarks: 1",
    ),
    accepted(
        "a video without tracings, in a landmark store",
        untraced,
        PREPARE,
        "11 videos (",
        "1 left out (problems.csv)",
        leaves=STORE,
    ),
    accepted(
        "a strict check of a video without tracings",
        steps(untraced),
        f"{CHECK} --strict",
        "FileList.csv:3: {sample}: needs exactly two traced frames, has 0 (none)",
    ),
    accepted(
        "a video that no row names",
        write("{source}/Videos/0XABCD.avi", "x"),
        CHECK,
        "Videos/0XABCD.avi: 0XABCD: is not in FileList.csv",
    ),
]
