"""Bad input: one clear line, a telling exit status, and nothing half-written."""

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
    """The line, the exit status and what is left are those of the table.

    In every case: no traceback, one error or none, no word of a library beside it, no other file
    made or changed, none under a temporary name, and an attempt that failed says so.
    """
    case.make(place)
    before = listing(place.root)
    done = typed(case.command, place)
    after = listing(place.root)

    lines = (done.out + done.err).splitlines()
    fragments = [place(fragment) for fragment in case.says]
    assert done.raised is None and "Traceback" not in done.out + done.err, done
    assert done.status == case.status, done
    matching = [line for line in lines if all(fragment in line for fragment in fragments)]
    assert len(matching) == 1, (fragments, done)
    errors = [line for line in told(done) if line.startswith("Error: ")]
    assert len(errors) == fragments[0].startswith("Error: "), done
    assert "".join(capfd.readouterr()) == ""
    kinds = (RuntimeWarning, UserWarning)
    assert [warning for warning in recwarn if issubclass(warning.category, kinds)] == []
    assert differences(before, after, case.leaves) == []
    if set(FAILED) <= set(case.leaves):
        last_lines = [path.read_text().splitlines()[-1] for path in place.events()]
        assert "failed" in [json.loads(line)["event"] for line in last_lines]


def test_names_are_unique() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names)) >= 40
