"""Site profiles: what can be written, what each mistake is told, and how ranks lie on nodes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cluster.profile import NodeShape, Profile, example, load_profile
from echolm.errors import EchoLMError

SITE: dict[str, Any] = {
    "partitions": {
        "gpu": {
            "gpus_per_node": 4,
            "cpus_per_node": 32,
            "memory_gb_per_node": 256,
            "max_minutes": 1440,
        },
        "pair": {"gpus_per_node": 2, "cpus_per_node": 16, "memory_gb_per_node": 64},
        "cpu": {"cpus_per_node": 8, "memory_gb_per_node": 16},
    },
    "partition": "gpu",
    "time_minutes": 60,
}


def load(folder: Path, **changes: Any) -> Profile:
    """SITE with changes (``...`` leaves a field out), through a file."""
    values = {name: value for name, value in {**SITE, **changes}.items() if value is not ...}
    (folder / "site.yaml").write_text(yaml.safe_dump(values))
    return load_profile(folder / "site.yaml")


class TestReading:
    """A profile file."""

    def test_the_example_is_a_profile_with_every_field_in_it(self, tmp_path: Path) -> None:
        (tmp_path / "site.yaml").write_text(example())
        profile = load_profile(tmp_path / "site.yaml")
        assert profile.shape(gpus=8) == NodeShape(nodes=2, tasks_per_node=4, gpus_per_node=4)
        assert [name for name in Profile.model_fields if f"{name}:" not in example()] == []

    def test_the_examples_optional_lines_are_valid_when_they_are_used(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SCRATCH", "/scratch/me")
        start = example().index("# ---- where jobs go")
        lines = [
            line.removeprefix("# ")
            for line in example()[start:].splitlines()
            if not line.startswith("# ----")
        ]
        (tmp_path / "site.yaml").write_text(example()[:start] + "\n".join(lines))
        profile = load_profile(tmp_path / "site.yaml")
        assert set(Profile.model_fields) == profile.model_fields_set
        assert profile.work_dir == Path("/scratch/me/echolm-jobs")
        assert profile.command == [
            "apptainer",
            "exec",
            "--nv",
            "/shared/images/echolm.sif",
            str(Path.home() / "echolm/.venv/bin/python"),
        ]
        assert profile.extra == {"mail-type": "FAIL", "exclusive": True}
        assert profile.setup == ["module load cuda/12.6", "export NCCL_SOCKET_IFNAME=ib0"]

    def test_defaults(self, tmp_path: Path) -> None:
        profile = load(tmp_path, partition=..., partitions={"only": SITE["partitions"]["cpu"]})
        assert profile.partition == "only"
        assert (profile.warning_seconds, profile.command, profile.work_dir) == (
            120,
            [sys.executable],
            None,
        )

    def test_lines_and_nodes_as_one_text(self, tmp_path: Path) -> None:
        profile = load(
            tmp_path, setup="module load cuda\nexport A='b c'\n", exclude="gpu[1-3],gpu7"
        )
        assert (profile.setup, profile.exclude) == (
            ["module load cuda", "export A='b c'"],
            ["gpu[1-3],gpu7"],
        )

    def test_another_partition_is_checked_like_the_first(self, tmp_path: Path) -> None:
        profile = load(tmp_path, memory_gb=20)
        assert profile.on("pair").shape(gpus=2) == NodeShape(1, 2, 2)
        with pytest.raises(
            EchoLMError, match="memory_gb: a node of partition cpu has 16; given 20"
        ):
            profile.on("cpu")
        with pytest.raises(EchoLMError, match="did you mean 'pair'"):
            profile.on("pairs")


MISTAKES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unknown field": ({"acount": "lab"}, ["'acount'", "did you mean 'account'"]),
    "unknown field of a partition": (
        {"partitions": {"gpu": {"gpu_per_node": 4, "cpus_per_node": 1, "memory_gb_per_node": 1}}},
        ["partitions.gpu: ", "did you mean 'gpus_per_node'"],
    ),
    "no partitions": ({"partitions": {}}, ["partitions: ", "valid: 1 or more values"]),
    "partition missing": ({"partition": ...}, ["partition: ", "is missing"]),
    "partition unknown": (
        {"partition": "gup"},
        ["partition: ", "did you mean 'gpu'", "valid: cpu, gpu, pair"],
    ),
    "no time": ({"time_minutes": ...}, ["time_minutes: ", "is missing"]),
    "too long": ({"time_minutes": 1441}, ["time_minutes: 1441", "partition gpu", "2 to 1440"]),
    "a duration as text": (
        {"time_minutes": "12:00:00"},
        ["time_minutes: '12:00:00' is not", "whole number"],
    ),
    "warned before it starts": ({"warning_seconds": 3600}, ["warning_seconds: 3600", "3600 s"]),
    "perhaps warned as it starts": (
        {"time_minutes": 2, "warning_seconds": 60},
        ["warning_seconds: 60", "60 s early", "time_minutes 3 or more"],
    ),
    "too much memory": ({"memory_gb": 257}, ["memory_gb: ", "has 256", "given 257"]),
    "too many CPUs": ({"cpus_per_task": 33}, ["cpus_per_task: ", "has 32", "given 33"]),
    "account that YAML reads as a number": ({"account": 123}, ["account: ", "123", "in quotes"]),
    "qos that YAML reads as false": ({"qos": False}, ["qos: ", "False", "in quotes"]),
    "two words": ({"constraint": "a100 ib"}, ["constraint: ", "'a100 ib'", "one word"]),
    "option of another name": (
        {"gpu_option": "gpus"},
        ["gpu_option: ", "valid: gpus-per-node, gres"],
    ),
    "no slots": ({"jobs_at_once": 0}, ["jobs_at_once: 0 is not valid; valid: 1 or more"]),
    "sbatch line in the set-up": ({"setup": ["#SBATCH --nice"]}, ["setup: ", "extra"]),
    "an option that a field sets": ({"extra": {"mem": "4G"}}, ["extra: --mem", "memory_gb"]),
    "an option that the launcher sets": (
        {"extra": {"job_name": "x"}},
        ["extra: --job-name", "launcher"],
    ),
    "an option that names the jobs": (
        {"extra": {"comment": "heart"}},
        ["extra: --comment cannot be given", "jobs are found again"],
    ),
    "an option for another cluster": (
        {"extra": {"clusters": "big"}},
        ["extra: --clusters", "login node of that one"],
    ),
    "an option that hides the job's id": (
        {"extra": {"quiet": True}},
        ["extra: --quiet", "job's id"],
    ),
    "an option that submits nothing": (
        {"extra": {"test-only": True}},
        ["extra: --test-only", "submit nothing"],
    ),
    "an option that places ranks": (
        {"extra": {"ntasks-per-gpu": 1}},
        ["extra: --ntasks-per-gpu", "--gpus"],
    ),
    "an option with dashes": ({"extra": {"--nice": 1}}, ["extra: '--nice'", "without dashes"]),
    "a short option": ({"extra": {"w": "n1"}}, ["extra: 'w'", "long name"]),
    "an option without sense": ({"extra": {"nice": [1]}}, ["extra: nice", "[1]"]),
    "an option over two lines": (
        {"extra": {"reservation": "a\n#SBATCH --mem=1"}},
        ["extra: reservation", "text"],
    ),
    "relative folder": ({"work_dir": "jobs"}, ["work_dir: ", "absolute"]),
    "unknown variable": (
        {"work_dir": "$NO_SUCH_VARIABLE/jobs"},
        ["work_dir: ", "$NO_SUCH_VARIABLE", "not set"],
    ),
    "broken command": (
        {"container": "apptainer exec 'x", "python": "python3"},
        ["container: ", "not a command"],
    ),
    "container without its python": (
        {"container": "apptainer exec x.sif"},
        ["container: needs python"],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_file_and_field(mistake: str, tmp_path: Path) -> None:
    changes, parts = MISTAKES[mistake]
    with pytest.raises(EchoLMError) as caught:
        load(tmp_path, **changes)
    assert str(tmp_path / "site.yaml") in str(caught.value)
    assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)


@pytest.mark.parametrize(
    ("text", "part"), [("", "empty"), ("- gpu\n", "list"), ("partitions: [", "not valid YAML")]
)
def test_what_is_no_profile_at_all(text: str, part: str, tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(text)
    with pytest.raises(EchoLMError, match=part):
        load_profile(tmp_path / "site.yaml")
    with pytest.raises(EchoLMError, match="cannot be read"):
        load_profile(tmp_path / "nosuch.yaml")


class TestShapes:
    """Ranks on nodes."""

    @pytest.mark.parametrize(
        ("partition", "asked", "shape"),
        [
            ("gpu", {}, NodeShape(1, 1, 0)),
            ("gpu", {"gpus": 1}, NodeShape(1, 1, 1)),
            ("gpu", {"gpus": 3}, NodeShape(1, 3, 3)),
            ("gpu", {"gpus": 8}, NodeShape(2, 4, 4)),
            ("gpu", {"gpus": 8, "nodes": 4}, NodeShape(4, 2, 2)),
            ("gpu", {"gpus": 2, "ranks": 2}, NodeShape(1, 2, 2)),
            ("pair", {"gpus": 4}, NodeShape(2, 2, 2)),
            ("cpu", {"ranks": 8}, NodeShape(1, 8, 0)),
            ("cpu", {"ranks": 4, "nodes": 2}, NodeShape(2, 2, 0)),
            ("cpu", {"ranks": 16}, NodeShape(2, 8, 0)),
        ],
        ids=str,
    )
    def test_fits(
        self, partition: str, asked: dict[str, int], shape: NodeShape, tmp_path: Path
    ) -> None:
        assert load(tmp_path).on(partition).shape(**asked) == shape

    @pytest.mark.parametrize(
        ("partition", "asked", "parts"),
        [
            ("pair", {"gpus": 3}, ["gpus 3", "hold 2 each", "1 to 2 on one node", "2, 4, 6, ..."]),
            ("gpu", {"gpus": 6}, ["gpus 6", "hold 4 each", "4, 8, 12, ..."]),
            ("gpu", {"gpus": 8, "nodes": 3}, ["gpus 8", "3 nodes", "multiple of 3, up to 12"]),
            ("gpu", {"gpus": 8, "nodes": 1}, ["gpus 8", "up to 4"]),
            ("cpu", {"gpus": 1}, ["partition cpu have none", "gpu, pair"]),
            ("cpu", {"ranks": 9}, ["ranks 9", "hold 8 each", "8, 16"]),
            ("gpu", {"gpus": 4, "ranks": 2}, ["gpus 4, ranks 2"]),
            ("gpu", {"gpus": -1}, ["gpus -1"]),
            ("gpu", {"ranks": 0}, ["ranks 0"]),
        ],
        ids=str,
    )
    def test_what_does_not_fit_is_told_what_does(
        self, partition: str, asked: dict[str, int], parts: list[str], tmp_path: Path
    ) -> None:
        with pytest.raises(EchoLMError) as caught:
            load(tmp_path).on(partition).shape(**asked)
        assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)

    def test_cpus_are_checked_for_the_tasks_of_a_node(self, tmp_path: Path) -> None:
        profile = load(tmp_path, cpus_per_task=16)
        assert profile.shape(gpus=2) == NodeShape(1, 2, 2)
        with pytest.raises(
            EchoLMError,
            match="4 tasks need 64 CPUs, and a node of partition gpu has 32;"
            " valid with 4 tasks a node: 1 to 8",
        ):
            profile.shape(gpus=4)
        assert profile.shape(ranks=4) == NodeShape(2, 2, 0)

    @given(
        gpus=st.integers(0, 70),
        cpus=st.integers(1, 32),
        nodes=st.none() | st.integers(1, 5),
        ranks=st.none() | st.integers(1, 70),
    )
    def test_a_shape_has_every_rank_and_fits_its_nodes(
        self, gpus: int, cpus: int, nodes: int | None, ranks: int | None
    ) -> None:
        profile = Profile.model_validate({**SITE, "cpus_per_task": cpus})
        try:
            shape = profile.shape(gpus, ranks, nodes)
        except EchoLMError:
            return
        assert shape.ranks == (gpus or ranks or 1)
        assert shape.gpus_per_node * shape.nodes == gpus
        assert shape.gpus_per_node <= 4 and shape.tasks_per_node * cpus <= 32
        assert nodes is None or shape.nodes == nodes

    @pytest.mark.parametrize(
        ("changes", "request_"),
        [
            ({}, ("gpus-per-node", "2")),
            ({"gpu_type": "a100"}, ("gpus-per-node", "a100:2")),
            ({"gpu_option": "gres"}, ("gres", "gpu:2")),
            ({"gpu_option": "gres", "gpu_type": "a100"}, ("gres", "gpu:a100:2")),
        ],
    )
    def test_the_option_that_asks_for_gpus(
        self, changes: dict[str, Any], request_: tuple[str, str], tmp_path: Path
    ) -> None:
        profile = load(tmp_path, **changes)
        assert profile.gpu_request(2) == request_
        assert profile.gpu_request(0) is None
