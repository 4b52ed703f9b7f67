"""Variables of ranks that something else left in the environment."""

from __future__ import annotations

import pytest

from echolm.errors import EchoLMError
from echolm.training.distributed import RANK_VARIABLES, ranks_from_environment


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"WORLD_SIZE": ""},
        {"WORLD_SIZE": "1", "RANK": "0"},
        {"WORLD_SIZE": "1", "RANK": "x"},
        {"RANK": "3"},
        {"LOCAL_RANK": "", "RANK": "", "WORLD_SIZE": ""},
    ],
    ids=str,
)
def test_no_number_of_ranks_is_one_process(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _set(variables, monkeypatch)
    with ranks_from_environment("cpu") as ranks:
        assert (ranks.rank, ranks.world) == (0, 1)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"RANK": "0", "WORLD_SIZE": "2"},
            "RANK=0 WORLD_SIZE=2 say that this is one of 2 processes, but MASTER_ADDR, "
            "MASTER_PORT are not set",
        ),
        ({"RANK": "x", "WORLD_SIZE": "2"}, "RANK=x WORLD_SIZE=2 are not a rank"),
        ({"RANK": "0", "WORLD_SIZE": "two"}, "RANK=0 WORLD_SIZE=two are not a rank"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "are not a rank"),
        ({"RANK": "-1", "WORLD_SIZE": "2"}, "are not a rank"),
        ({"RANK": "0", "WORLD_SIZE": "0"}, "are not a rank"),
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE=2 are not a rank"),
        ({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "no"}, "are not a rank"),
        ({"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "h"}, "but MASTER_PORT are not set"),
    ],
    ids=str,
)
def test_what_describes_no_ranks_is_one_line(
    variables: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set(variables, monkeypatch)
    with pytest.raises(EchoLMError) as caught, ranks_from_environment("cpu"):
        pass
    message = str(caught.value)
    assert words in message and "\n" not in message
    unset = " ".join(f"-u {name}" for name in RANK_VARIABLES if name in variables)
    assert f"(env {unset} echolm ...)" in message and "torchrun" in message


def _set(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in RANK_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
