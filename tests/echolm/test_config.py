"""What a user can write as a run, and what each mistake is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from echolm.config import (
    FinetuneConfig,
    PretrainConfig,
    Trainable,
    load_config,
    needs_whole_batch,
    parse_config,
    whole_batch_reason,
)
from echolm.errors import EchoLMError
from echolm.fusion import FUSIONS, Fusion
from echolm.heads import HEADS, Head
from echolm.objectives import OBJECTIVES, Objective
from echolm.tasks import TASKS, Task
from echolm.weights import Weights

BASE: dict[str, Any] = {
    "data": "phantom",
    "task": "landmarks",
    "encoder": "mvit-v2-s",
    "trainable": "k1",
    "head": "mlp",
}


PRETRAINING: dict[str, Any] = {
    "kind": "pretrain",
    "data": "phantom",
    "objective": "masked",
    "encoder": "mvit-v2-s",
}


class OverBatch:
    """Mixed into a component whose module has statistics over the batch."""

    @property
    def statistics_over_batch(self) -> bool:
        return True


@pytest.fixture
def components() -> Any:
    """Toy components, registered as a plugin would and removed after the test."""

    class BatchHead(OverBatch, Head):
        name: Literal["over-batch"] = "over-batch"

    class BatchFusion(OverBatch, Fusion):
        name: Literal["over-batch"] = "over-batch"

    class BatchObjective(OverBatch, Objective):
        name: Literal["over-batch"] = "over-batch"

    class NeedsMotion(Head):
        needs: ClassVar[tuple[str, ...]] = ("motion",)
        takes: ClassVar[Literal["vector", "features"]] = "features"
        name: Literal["needs-motion"] = "needs-motion"

    class NeedsTokens(Fusion):
        needs: ClassVar[tuple[str, ...]] = ("tokens",)
        name: Literal["needs-tokens"] = "needs-tokens"

    class Masked(Objective):
        name: Literal["masked"] = "masked"

    class Ejection(Task):
        name: Literal["ejection"] = "ejection"

        def outputs(self) -> tuple[int, ...]:
            return (1,)

    added = [
        (HEADS, NeedsMotion),
        (FUSIONS, NeedsTokens),
        (TASKS, Ejection),
        (OBJECTIVES, Masked),
        (HEADS, BatchHead),
        (FUSIONS, BatchFusion),
        (OBJECTIVES, BatchObjective),
    ]
    for registry, cls in added:
        registry.names()
        registry.register(cls)  # type: ignore[attr-defined]
    yield
    for registry, cls in added:
        name = cls.model_fields["name"].default
        registry._classes.pop(name)  # type: ignore[attr-defined]
        registry._bare.pop(name, None)  # type: ignore[attr-defined]


MISTAKES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unknown field": (
        {"heda": "gcn"},
        ["'heda'", "did you mean 'head'", "valid: augmentation, batch_size"],
    ),
    "unknown nested field": (
        {"data": {"name": "d", "fracton": 1}},
        ["data: ", "'fracton'", "did you mean 'fraction'"],
    ),
    "unknown component field": (
        {"head": {"name": "mlp", "widht": 3}},
        ["head: ", "'widht'", "valid: dropout, name, width"],
    ),
    "unknown encoder": (
        {"encoder": "r3d18"},
        ["encoder: ", "'r3d18'", "did you mean 'r3d-18'", "tiny-mvit"],
    ),
    "unknown head": ({"head": "gnc"}, ["head: ", "did you mean 'gcn'"]),
    "component without a name": (
        {"head": {"width": 3}},
        ["head: ", "valid names: ", "gcn, ", "mlp"],
    ),
    "component of another type": (
        {"optimizer": 3},
        ["optimizer: ", "valid names: adam, ", "given 3"],
    ),
    "missing field": ({"head": ...}, ["head: ", "is missing"]),
    "unknown kind": ({"kind": "tune"}, ["'tune'", "valid: finetune, pretrain"]),
    "field of another kind": (
        {"kind": "pretrain", "task": ...},
        ["'trainable'", "valid: augmentation"],
    ),
    "task of a pretraining": ({"kind": "pretrain"}, ["task: only fine-tuning has one"]),
    "objective of a fine-tuning": (
        {"objective": "masked"},
        ["objective: only a pretraining has one"],
    ),
    "pretraining without an objective": (
        {"kind": "pretrain", "task": ..., "trainable": ..., "head": ...},
        ["objective: is missing"],
    ),
    "text for a number": (
        {"epochs": "many"},
        ["epochs: 'many' is not valid; valid: a whole number"],
    ),
    "half an epoch": ({"epochs": 1.5}, ["epochs: 1.5 is not valid; valid: a whole number"]),
    "no epoch": ({"epochs": 0}, ["epochs: 0 is not valid; valid: 1 or more"]),
    "empty batch": ({"batch_size": 0}, ["batch_size: 0 is not valid; valid: 1 or more"]),
    "negative seed": ({"seed": -1}, ["seed: -1 is not valid; valid: 0 or more"]),
    "negative order seed": ({"order_seed": -1}, ["order_seed: -1 is not valid; valid: 0 or more"]),
    "negative view seed": ({"view_seed": -1}, ["view_seed: -1 is not valid; valid: 0 or more"]),
    "unknown views": (
        {"views": "stale"},
        ["views: 'stale' is not valid; ", "valid: fresh, or a whole number"],
    ),
    "no views": ({"views": 0}, ["views: 0 is not valid; valid: fresh, or 1 or more"]),
    "not a number": (
        {"optimizer": {"name": "adam", "lr": float("nan")}},
        ["optimizer.lr: ", "finite"],
    ),
    "infinite": ({"optimizer": {"name": "adam", "lr": float("inf")}}, ["optimizer.lr: ", "finite"]),
    "zero rate": (
        {"optimizer": {"name": "adam", "lr": 0}},
        ["optimizer.lr: 0 is not valid; valid: more than 0"],
    ),
    "beta of one": (
        {"optimizer": {"name": "adam", "betas": [0.9, 1.0]}},
        ["optimizer.betas.1: 1.0 is not valid; valid: less than 1"],
    ),
    "too much data": (
        {"data": {"name": "d", "fraction": 1.5}},
        ["data.fraction: 1.5 is not valid; valid: 1 or less"],
    ),
    "no data": (
        {"data": {"name": "d", "fraction": 0}},
        ["data.fraction: 0 is not valid; valid: more than 0"],
    ),
    "path as a store": ({"data": "../d"}, ["data.name: ", "'../d'"]),
    "newline in a store's name": ({"data": "d\n"}, ["data.name: "]),
    "too many blocks": (
        {"trainable": "k17"},
        ["trainable.blocks: 17", "mvit-v2-s", "has 16", "k0 to k16, all"],
    ),
    "negative blocks": ({"trainable": {"blocks": -1}}, ["trainable.blocks"]),
    "no regime": ({"trainable": "k-1"}, ["trainable: ", "'k-1'", "k0, k1, k2", "all"]),
    "number as a regime": ({"trainable": 3}, ["trainable: "]),
    "stem without all": (
        {"trainable": {"blocks": 2, "stem": True}},
        ["trainable: ", "stem: true needs blocks: all"],
    ),
    "unknown published weights": (
        {"weights": "published:kinetics"},
        ["weights: ", "did you mean 'kinetics400'"],
    ),
    "weights the encoder has not": (
        {"weights": "published:kinetics400", "encoder": "tiny-r3d"},
        ["tiny-r3d", "valid: (none)"],
    ),
    "unknown source": (
        {"weights": "hub:x"},
        ["weights: ", "'hub:x'", "random, published:NAME, file:PATH, run:CELL"],
    ),
    "source without a name": ({"weights": "file:"}, ["weights: ", "file:PATH"]),
    "random with a name": (
        {"weights": {"source": "random", "value": "x"}},
        ["weights: ", "valid: random, published:NAME"],
    ),
    "file without a path": ({"weights": {"source": "file"}}, ["weights: ", "file:PATH"]),
    "landmark head for one number": (
        {"head": "gcn", "task": "ejection"},
        ["head gcn gives landmarks", "task ejection", "(1,)"],
    ),
    "head needs what is not given": (
        {"head": "needs-motion"},
        ["needs-motion needs motion", "gives pooled, frames, tokens"],
    ),
    "fusion needs what is not given": (
        {"fusion": "needs-tokens", "encoder": "none", "trainable": "k0"},
        ["needs-tokens needs tokens", "none", "gives pooled"],
    ),
    "key that is no text": ({3: "x"}, ["unknown field 3"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_names_the_field_and_what_is_valid(mistake: str, components: Any) -> None:
    changes, fragments = MISTAKES[mistake]
    values = {name: value for name, value in {**BASE, **changes}.items() if value is not ...}
    with pytest.raises(EchoLMError) as caught:
        parse_config(values, "my run.yaml")
    message = str(caught.value)
    assert message.startswith("my run.yaml: ")
    assert [fragment for fragment in fragments if fragment not in message] == [], message
    assert "http" not in message and "Value error" not in message


def test_two_mistakes_are_two_lines() -> None:
    with pytest.raises(EchoLMError) as caught:
        parse_config({**BASE, "epochs": 0, "seed": "x"})
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == ["epochs", "seed"]


@pytest.mark.parametrize("kind", ["finetune", "pretrain"])
def test_published_weights_are_checked_for_every_kind(kind: str, components: Any) -> None:
    values = {**(BASE if kind == "finetune" else PRETRAINING), "weights": "published:imagenet"}
    with pytest.raises(EchoLMError, match="no published weights 'imagenet'; valid: kinetics400"):
        parse_config(values)


@pytest.mark.parametrize("values", [None, [], [1], "text", 3])
def test_what_is_no_mapping_says_what_is_valid(values: Any) -> None:
    with pytest.raises(
        EchoLMError,
        match="f: a run's configuration is .*; valid: a mapping with data, task, encoder",
    ):
        parse_config(values, "f")


def test_defaults_are_the_papers_recipe() -> None:
    config = parse_config(BASE)
    assert isinstance(config, FinetuneConfig)
    assert (config.batch_size, config.epochs, config.optimizer.name, config.optimizer.lr) == (
        20,
        100,
        "adam",
        5e-4,
    )
    plain = config.model_dump()
    assert plain["schedule"] == {"name": "plateau", "reduce": 0.5, "patience": 5, "threshold": 1e-4}
    assert (plain["weights"], plain["augmentation"], plain["views"]) == (
        "random",
        {"name": "none"},
        "fresh",
    )


def test_seeds_follow_seed_unless_set() -> None:
    follows, own = (
        parse_config({**BASE, "seed": 7}),
        parse_config({**BASE, "seed": 7, "order_seed": 1, "view_seed": 0}),
    )
    assert (follows.order, follows.view) == (7, 7)
    assert (own.order, own.view) == (1, 0)


def test_pretraining_has_an_objective_and_no_head_and_no_freezing(components: Any) -> None:
    config = parse_config(PRETRAINING)
    assert isinstance(config, PretrainConfig) and not hasattr(config, "head")
    assert config.goal is config.objective and config.goal.name == "masked"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (BASE, ""),
        ({**BASE, "encoder": "r3d-18"}, "encoder r3d-18 with batch_norm: batch"),
        ({**BASE, "encoder": "r3d-18", "trainable": "k0"}, ""),
        ({**BASE, "encoder": {"name": "r3d-18", "batch_norm": "frozen"}}, ""),
        ({**BASE, "head": "over-batch"}, "head over-batch with statistics over the batch"),
        ({**BASE, "fusion": "over-batch"}, "fusion over-batch with statistics over the batch"),
        (
            {**BASE, "trainable": "k0", "fusion": "over-batch"},
            "fusion over-batch with statistics over the batch",
        ),
        (
            {**PRETRAINING, "objective": "over-batch"},
            "objective over-batch with statistics over the batch",
        ),
        (
            {**PRETRAINING, "encoder": "r3d-18"},
            "encoder r3d-18 with batch_norm: batch",
        ),
        (PRETRAINING, ""),
    ],
    ids=str,
)
def test_every_component_is_asked_for_statistics_over_the_batch(
    values: dict[str, Any], reason: str, components: Any
) -> None:
    config = parse_config(values)
    assert whole_batch_reason(config) == reason
    assert needs_whole_batch(config) == bool(reason)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".json"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte-order mark"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
def test_files_may_be_yaml_or_json_with_or_without_a_byte_order_mark(
    tmp_path: Path, suffix: str, mark: bytes, end: str
) -> None:
    values = {**BASE, "weights": "random"}
    text = json.dumps(values, indent=1) if suffix == ".json" else yaml.safe_dump(values)
    path = write(tmp_path / f"it's a run{suffix}", mark + text.replace("\n", end).encode())
    assert load_config(path) == parse_config(BASE)


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (b"", "is empty; valid: a mapping"),
        (b"# nothing but a comment\n", "is empty; valid: a mapping"),
        (b"- a\n- b\n", "not a mapping but list"),
        (b"head: [mlp", "not valid YAML"),
        (b"head: mlp\n\tseed: 1\n", "not valid YAML"),
        (b"\xff\xfe\x00h", "not valid YAML"),
        (b"seed: 1\nhead: mlp\nseed: 2\n", "'seed' is given twice"),
        (b"data: {name: d, name: e}\n", "'name' is given twice"),
        (b"? [1, 2]\n: x\n", "not valid YAML"),
        (b"!!python/object/apply:os.system [ls]", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_run_is_named(tmp_path: Path, content: bytes, fragment: str) -> None:
    path = write(tmp_path / "run.yaml", content)
    with pytest.raises(EchoLMError) as caught:
        load_config(path)
    assert str(path) in str(caught.value) and fragment in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.yaml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(EchoLMError, match=reason) as caught:
            load_config(path)
        assert str(path) in str(caught.value)


def test_a_key_may_be_overridden_after_a_yaml_merge(tmp_path: Path) -> None:
    text = "a: &a {data: d, task: landmarks, seed: 1}\nb: {<<: *a, seed: 2}\n"
    from echolm.yaml_files import load_yaml

    assert load_yaml(write(tmp_path / "merge.yaml", text.encode()))["b"] == {
        "data": "d",
        "task": "landmarks",
        "seed": 2,
    }


class TestTrainable:
    """Which stages train, and where the trunk ends."""

    regimes = st.one_of(
        st.builds(Trainable, blocks=st.integers(0, 20), readout=st.booleans()),
        st.builds(Trainable, blocks=st.just("all"), stem=st.booleans(), readout=st.booleans()),
    )

    @given(regimes, st.integers(0, 20))
    def test_positions_are_a_tail_of_blocks_with_stem_and_readout_as_asked(
        self, regime: Trainable, blocks: int
    ) -> None:
        if isinstance(regime.blocks, int) and regime.blocks > blocks:
            return  # refused with the encoder
        positions = regime.positions(blocks)
        inner = {position for position in positions if 1 <= position <= blocks}
        assert positions <= set(range(blocks + 2))
        assert inner == set(range(blocks + 1 - len(inner), blocks + 1))
        assert (
            len(inner)
            == (blocks if regime.blocks == "all" else regime.blocks)
            == regime.count(blocks)
        )
        assert (0 in positions, blocks + 1 in positions) == (regime.stem, regime.readout)

    @given(regimes, st.integers(20, 30))
    def test_nothing_before_the_cut_trains_and_the_cut_does(
        self, regime: Trainable, blocks: int
    ) -> None:
        positions, cut = regime.positions(blocks), regime.cut(blocks)
        assert all(position >= cut for position in positions)
        assert cut in positions if positions else cut == blocks + 2

    @given(regimes, regimes)
    def test_texts_differ_where_regimes_do(self, a: Trainable, b: Trainable) -> None:
        assert (str(a) == str(b)) == (a == b)

    @given(st.integers(0, 99))
    def test_shorthand_is_its_own_text(self, blocks: int) -> None:
        assert str(Trainable.model_validate(f"k{blocks}")) == f"k{blocks}"
        assert Trainable.model_validate(f"k{blocks}") == Trainable(blocks=blocks)

    def test_all_is_everything(self) -> None:
        everything = Trainable.model_validate("all")
        assert (str(everything), everything.cut(16), len(everything.positions(16))) == (
            "all",
            0,
            18,
        )

    def test_k0_is_nothing_and_its_cut_is_past_the_readout(self) -> None:
        nothing = Trainable.model_validate("k0")
        assert (nothing.positions(16), nothing.cut(16)) == (set(), 18)

    def test_the_last_block_alone_leaves_the_readout_frozen(self) -> None:
        assert Trainable.model_validate("k1").positions(16) == {16}

    def test_every_block_of_an_encoder_may_be_named(self) -> None:
        assert parse_config({**BASE, "trainable": "k16"}).trainable.count(16) == 16  # type: ignore[union-attr]


class TestWeights:
    """One string."""

    @pytest.mark.parametrize(
        "text", ["random", "published:kinetics400", "file:/a b/ü:x.pt", "run:0123456789abcdef"]
    )
    def test_written_as_read(self, text: str) -> None:
        weights = Weights.model_validate(text)
        assert str(weights) == text == weights.model_dump() == weights.model_dump(mode="json")

    def test_a_path_keeps_its_colons(self) -> None:
        assert Weights.model_validate("file:c:/x:y.pt").value == "c:/x:y.pt"
