"""Bad input: one clear line, an exit status that says whether the command did its work, and nothing half-written."""

from __future__ import annotations

import json

import pytest
from bad_input_case import FAILED, Case
from bad_input_cases import CASES
from bad_input_support import Place, differences, listing, told, typed


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input(
    case: Case, place: Place, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    """The line, the exit status and what is left are those of the table. In every case: no traceback, one error or
    none, no word of a library beside it, no other file made or changed, none under a temporary name, and an attempt
    that failed says so."""
    case.made(place)
    before = listing(place.root)
    done = typed(case.typed, place)
    after = listing(place.root)

    lines, fragments = (done.out + done.err).splitlines(), [place(fragment) for fragment in case.says]
    assert done.raised is None and "Traceback" not in done.out + done.err, done
    assert done.status == case.status, done
    assert sum(all(fragment in line for fragment in fragments) for line in lines) == 1, (fragments, done)
    assert [line.startswith("Error: ") for line in told(done)].count(True) == fragments[0].startswith("Error: "), done
    assert "".join(capfd.readouterr()) == ""
    assert [warning for warning in recwarn if issubclass(warning.category, (RuntimeWarning, UserWarning))] == []
    assert differences(before, after, case.leaves) == []
    if set(FAILED) <= set(case.leaves):
        assert "failed" in [json.loads(path.read_text().splitlines()[-1])["event"] for path in place.events()]


def test_names_are_unique() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names)) >= 40
