"""A run's keys depend on what it means.

They do not depend on how it is written, where it runs, or what was added to the code since.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ConfigDict, Field

from echolm import identity
from echolm.augmentation import AUGMENTATIONS
from echolm.config import Data, FinetuneConfig, PretrainConfig, Trainable, parse_config
from echolm.encoders import ENCODERS
from echolm.errors import EchoLMError
from echolm.fusion import FUSIONS
from echolm.heads import HEADS
from echolm.identity import Neutral, canonical, canonical_json, cell_id, fingerprint, protocols
from echolm.objectives import OBJECTIVES, Objective
from echolm.optimisation import OPTIMIZERS, SCHEDULES
from echolm.registry import Component, Frozen
from echolm.tasks import TASKS
from echolm.weights import Weights

BASE: dict[str, Any] = {
    "data": "phantom",
    "task": "landmarks",
    "encoder": "tiny-r3d",
    "trainable": "k1",
    "head": "mlp",
}
FROZEN = Path(__file__).parents[1] / "frozen_keys.json"
DATA = "d" * 64
REGISTRIES = (
    AUGMENTATIONS,
    ENCODERS,
    FUSIONS,
    HEADS,
    OBJECTIVES,
    OPTIMIZERS,
    SCHEDULES,
    TASKS,
)
ADD = "To add one: python -m tests.echolm.test_identity NAME run.yaml"


def cell(**changes: Any) -> str:
    return cell_id(parse_config({**BASE, **changes}))


def test_the_order_of_fields_does_not_matter() -> None:
    backwards = dict(reversed(BASE.items()))
    assert cell_id(parse_config(backwards)) == cell()
    assert cell(optimizer={"lr": 0.1, "name": "adam"}) == cell(
        optimizer={"name": "adam", "lr": 0.1}
    )


@pytest.mark.parametrize(
    ("field", "short", "long"),
    [
        ("head", "mlp", {"name": "mlp"}),
        ("head", "mlp", {"name": "mlp", "width": 256, "dropout": 0.1}),
        ("data", "phantom", {"name": "phantom"}),
        ("data", "phantom", {"name": "phantom", "fraction": 1, "subset_seed": 0}),
        ("trainable", "all", {"blocks": "all", "stem": True, "readout": True}),
        ("trainable", "k3", {"blocks": 3}),
        ("trainable", "k3", "k03"),
        ("weights", "random", {"source": "random"}),
        ("weights", "file:/x.pt", {"source": "file", "value": "/x.pt"}),
        ("optimizer", "adam", {"name": "adam", "betas": [0.9, 0.999]}),
        ("kind", "finetune", "finetune"),
    ],
)
def test_a_shorthand_is_the_same_run(field: str, short: Any, long: Any) -> None:
    assert cell(**{field: short}) == cell(**{field: long})


@pytest.mark.parametrize(
    ("field", "spellings"),
    [
        ("optimizer", [{"name": "sgd", "lr": lr} for lr in (1, 1.0, "1", "1.0", "1e0")]),
        (
            "optimizer",
            [{"name": "sgd", "lr": 1, "weight_decay": decay} for decay in (0, 0.0, -0.0, "0")],
        ),
        ("data", [{"name": "d", "fraction": fraction} for fraction in (0.5, "0.5", "5e-1")]),
        ("epochs", [30, 30.0, "30"]),
        ("seed", [3, 3.0, "3"]),
    ],
)
def test_the_spelling_of_a_number_does_not_matter(field: str, spellings: list[Any]) -> None:
    assert len({cell(**{field: value}) for value in spellings}) == 1


def test_yaml_and_a_mapping_are_the_same_run() -> None:
    text = """
    head: {name: mlp, width: 64}
    trainable: k1
    encoder: tiny-r3d
    task: landmarks
    data: phantom
    optimizer: {name: adam, lr: 1e-3}   # YAML 1.1 reads this as text
    """
    assert cell_id(parse_config(yaml.safe_load(text))) == cell(
        head={"name": "mlp", "width": 64}, optimizer={"name": "adam", "lr": 0.001}
    )


def test_seeds_equal_to_seed_are_the_same_run_as_unset_ones() -> None:
    for seed in (0, 5):
        unset = cell(seed=seed)
        assert cell(seed=seed, order_seed=seed, view_seed=seed) == unset
        assert cell(seed=seed, order_seed=None, view_seed=str(seed)) == unset
        changed = {
            cell(seed=seed, order_seed=9),
            cell(seed=seed, view_seed=9),
            cell(seed=seed, order_seed=9, view_seed=9),
        }
        assert len(changed | {unset}) == 4
    assert cell(order_seed=0) == cell(view_seed=0) == cell()


def test_a_cell_has_sixteen_digits_and_a_fingerprint_sixty_four() -> None:
    config = parse_config(BASE)
    assert len(cell_id(config)) == 16 and len(fingerprint(config, DATA, "random")) == 64
    int(cell_id(config) + fingerprint(config, DATA, "random"), 16)


class TestNeutral:
    """A field is left out at the value under which the code behaves as before it existed."""

    def test_a_new_field_changes_no_existing_key(self) -> None:
        class Old(Frozen):
            seed: int = 0
            lr: float = 0.1

        class New(Frozen):
            clip: Annotated[float | None, Neutral(None)] = None
            seed: int = 0
            lr: float = 0.1
            ema: Annotated[float, Neutral(0.0), Field(ge=0)] = 0.9

        assert cell_id(New(ema=0)) == cell_id(Old())
        assert cell_id(New(ema=0.0, clip=None, seed=4)) == cell_id(Old(seed=4))
        assert (
            len(
                {
                    cell_id(New(ema=0.5)),
                    cell_id(New(ema=0, clip=1.0)),
                    cell_id(New()),
                    cell_id(Old()),
                }
            )
            == 4
        )

    def test_a_new_field_of_a_component_changes_no_existing_key(self) -> None:
        class Old(Component):
            name: Literal["part"] = "part"

        class New(Component):
            name: Literal["part"] = "part"
            gain: Annotated[float, Neutral(1.0)] = 1.0

        class Run(Frozen):
            part: Old | New

        assert cell_id(Run(part=New())) == cell_id(Run(part=Old()))
        assert cell_id(Run(part=New(gain=2))) != cell_id(Run(part=Old()))

    def test_a_changed_default_changes_no_stored_run(self) -> None:
        class Then(Frozen):
            lr: float = 0.1
            warmup: Annotated[float, Neutral(0.0)] = 0.0

        class Now(Frozen):
            lr: float = 0.2
            warmup: Annotated[float, Neutral(0.0)] = 0.05

        stored = Then().model_dump(mode="json")
        assert cell_id(Now(**stored)) == cell_id(Then())
        assert cell_id(Now()) != cell_id(Then())

    def test_the_default_of_a_field_with_a_neutral_value_is_that_value(self) -> None:
        """A stored configuration that is older than the field is read with the field's default."""
        classes = [FinetuneConfig, PretrainConfig, Data, Trainable, Weights]
        classes += [registry.get(name) for registry in REGISTRIES for name in registry.names()]  # type: ignore[attr-defined]
        marked = [
            (cls, name, value) for cls in classes for name, value in identity._neutral(cls).items()
        ]
        assert (FinetuneConfig, "view_seed", None) in marked
        assert [
            (cls, name) for cls, name, value in marked if cls.model_fields[name].default != value
        ] == []


class TestCanonical:
    """One text per content."""

    def test_two_ways_to_the_text_agree(self) -> None:
        """``cell_id`` remembers the text of components; the fingerprint does not."""
        import hashlib

        for changes in FROZEN_CONFIGS.values():
            config = parse_config(changes)
            text = canonical_json(canonical(config))
            assert hashlib.sha256(text.encode()).hexdigest()[:16] == cell_id(config)

    def test_what_was_hashed_before_does_not_matter(self) -> None:
        """Equal values of other types must not find each other's remembered text."""

        class Part(Component):
            name: Literal["part"] = "part"
            size: int | float = 0

        class Run(Frozen):
            part: Part

        one = [cell_id(Run(part=Part(size=value))) for value in (1, 1.0, 0.0, -0.0, 2.5)]
        identity._component_json.cache_clear()
        other = [cell_id(Run(part=Part(size=value))) for value in (1.0, 1, -0.0, 0.0, 2.5)]
        assert one == other and len(set(one)) == 3

    def test_no_white_space_and_sorted_keys(self) -> None:
        assert (
            canonical_json({"b": [1, 2.5], "a": {"d": None, "c": "ü\n"}})
            == '{"a":{"c":"\\u00fc\\n","d":null},"b":[1,2.5]}'
        )

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_what_is_not_finite_is_refused(self, value: float) -> None:
        class Loose(Frozen):
            model_config = ConfigDict(allow_inf_nan=True)
            x: float

        for refuse in (cell_id, lambda model: fingerprint(model, DATA, "random")):
            with pytest.raises(ValueError, match="not JSON compliant"):
                refuse(Loose(x=value))

    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_numbers_survive(self, value: float) -> None:
        class Run(Frozen):
            x: float

        assert json.loads(canonical_json(canonical(Run(x=value))))["x"] == value


class TestFingerprint:
    """The fingerprint adds what files and code mean."""

    def test_it_changes_with_config_data_and_weights(self) -> None:
        config, other = parse_config(BASE), parse_config({**BASE, "seed": 1})
        prints = {
            fingerprint(config, DATA, "random"),
            fingerprint(other, DATA, "random"),
            fingerprint(config, "e" * 64, "random"),
            fingerprint(config, DATA, "a" * 64),
        }
        assert len(prints) == 4
        assert fingerprint(config, DATA, "random") == fingerprint(
            parse_config(BASE), DATA, "random"
        )

    @pytest.mark.parametrize(
        "part", ["task", "encoder", "augmentation", "optimizer", "schedule", "fusion", "head"]
    )
    def test_it_changes_with_the_protocol_of_each_component(
        self, part: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config = parse_config(BASE)
        before, id_before = fingerprint(config, DATA, "random"), cell_id(config)
        monkeypatch.setattr(type(getattr(config, part)), "protocol", 99)
        assert fingerprint(config, DATA, "random") != before
        assert cell_id(config) == id_before

    @pytest.mark.parametrize(
        ("module", "number"),
        [("echolm.protocols", "DATA_PROTOCOL"), ("echolm.protocols", "TRAINING_PROTOCOL")],
    )
    def test_it_changes_with_the_protocol_of_data_and_training(
        self, module: str, number: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config = parse_config(BASE)
        before = fingerprint(config, DATA, "random")
        monkeypatch.setattr(importlib.import_module(module), number, 99)
        assert fingerprint(config, DATA, "random") != before

    def test_it_holds_only_the_protocols_it_uses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from echolm.heads.gcn import GCN

        config = parse_config(BASE)
        before = fingerprint(config, DATA, "random")
        monkeypatch.setattr(GCN, "protocol", 99)
        assert fingerprint(config, DATA, "random") == before
        assert set(protocols(config)) == {
            "data",
            "training",
            "task:landmarks",
            "encoder:tiny-r3d",
            "augmentation:none",
            "optimizer:adam",
            "schedule:plateau",
            "fusion:pooled",
            "head:mlp",
        }


heads = st.one_of(
    st.sampled_from(["mlp", "gcn", "mean"]),
    st.builds(
        lambda w, d: {"name": "mlp", "width": w, "dropout": d},
        st.integers(1, 512),
        st.floats(0, 0.5),
    ),
    st.builds(
        lambda c: {"name": "gcn", "channels": c},
        st.lists(st.integers(1, 64), min_size=1, max_size=4),
    ),
)
optimizers = st.builds(
    lambda name, lr: {"name": name, "lr": lr},
    st.sampled_from(["adam", "adamw", "sgd"]),
    st.floats(1e-6, 1),
)
schedules = st.one_of(
    st.sampled_from(["constant", "plateau", "cosine"]),
    st.builds(lambda p: {"name": "plateau", "patience": p}, st.integers(0, 20)),
    st.builds(lambda w: {"name": "cosine", "warmup": w}, st.floats(0, 0.5)),
)
seeds = st.integers(0, 3)
shared = {
    "data": st.builds(
        lambda n, f, s: {"name": n, "fraction": f, "subset_seed": s},
        st.sampled_from("ab"),
        st.floats(0.01, 1),
        seeds,
    ),
    "encoder": st.sampled_from(
        ["tiny-r3d", "tiny-mvit", {"name": "tiny-r3d", "batch_norm": "frozen"}, "r3d-18"]
    ),
    "weights": st.sampled_from(["random", "file:/a", "file:/b", "run:0123456789abcdef"]),
    "augmentation": st.sampled_from(["none", "bhoodoo2026"]),
    "optimizer": optimizers,
    "schedule": schedules,
    "batch_size": st.integers(1, 4),
    "epochs": st.integers(1, 4),
    "seed": seeds,
    "order_seed": st.none() | seeds,
    "view_seed": st.none() | seeds,
    "views": st.just("fresh") | st.integers(1, 3),
}
tuning = {
    "task": st.just("landmarks"),
    "head": heads,
    "trainable": st.sampled_from(["k0", "k1", "k4", "all", {"blocks": 2, "readout": True}]),
}
pretraining = {
    "objective": st.builds(
        lambda ratio: {"name": "toy-masked", "ratio": ratio}, st.sampled_from([0.15, 0.85])
    )
}
configs = st.one_of(
    st.fixed_dictionaries({**shared, **tuning}),
    st.fixed_dictionaries({"kind": st.just("pretrain"), **shared, **pretraining}),
).map(parse_config)
Config = FinetuneConfig | PretrainConfig


@pytest.fixture(scope="class")
def masked() -> Iterator[None]:
    """An objective, registered as a plugin would."""

    class Masked(Objective):
        name: Literal["toy-masked"] = "toy-masked"
        ratio: float = 0.85

    OBJECTIVES.register(Masked)
    yield
    del OBJECTIVES._classes["toy-masked"]


@pytest.mark.usefixtures("masked")
class TestProperties:
    """What holds for every configuration."""

    @given(configs, configs)
    @settings(max_examples=100)
    def test_keys_are_equal_exactly_where_configurations_are(self, a: Config, b: Config) -> None:
        assert (cell_id(a) == cell_id(b)) == (a == b)
        assert (fingerprint(a, DATA, "random") == fingerprint(b, DATA, "random")) == (a == b)

    @given(configs, st.data())
    @settings(max_examples=100)
    def test_one_changed_field_is_another_cell(self, config: Config, data: st.DataObject) -> None:
        fields = {**shared, **pretraining}
        if isinstance(config, FinetuneConfig):
            fields = {**shared, **tuning}
        name = data.draw(st.sampled_from(sorted(fields)))
        changed = parse_config({**config.model_dump(mode="json"), name: data.draw(fields[name])})
        assume(changed != config)
        assert cell_id(changed) != cell_id(config)

    def test_an_objective_is_part_of_both_keys(self) -> None:
        values = {"kind": "pretrain", "data": "d", "encoder": "tiny-r3d"}
        config = parse_config({**values, "objective": "toy-masked"})
        assert protocols(config)["objective:toy-masked"] == 1
        other = parse_config({**values, "objective": {"name": "toy-masked", "ratio": 0.5}})
        assert cell_id(config) != cell_id(other)

    @given(configs)
    @settings(max_examples=100)
    def test_a_stored_configuration_has_the_same_keys(self, config: Config) -> None:
        stored = config.model_dump(mode="json")
        for text in (json.loads(json.dumps(stored)), yaml.safe_load(yaml.safe_dump(stored))):
            again = parse_config(text)
            assert again == config
            assert cell_id(again) == cell_id(config)
            assert fingerprint(again, DATA, "random") == fingerprint(config, DATA, "random")


BEFORE_OBJECTIVES = "pretraining"
"""The entry whose form is read no longer.

It is a pretraining by the task landmarks, which never had an objective. Such a run failed before
its first step, so no record of one holds a result that could be lost or trained again.
"""
FROZEN_CONFIGS: dict[str, dict[str, Any]] = {
    name: entry["config"]
    for name, entry in json.loads(FROZEN.read_text())["runs"].items()
    if name != BEFORE_OBJECTIVES
}


def test_a_pretraining_by_a_task_is_refused() -> None:
    entry = json.loads(FROZEN.read_text())["runs"][BEFORE_OBJECTIVES]
    assert (entry["config"]["kind"], entry["config"]["task"]) == ("pretrain", {"name": "landmarks"})
    with pytest.raises(EchoLMError, match="task: only fine-tuning has one"):
        parse_config(entry["config"])


@pytest.mark.parametrize("name", FROZEN_CONFIGS)
def test_frozen_keys(name: str) -> None:
    """Resolved configurations, as records and grids store them, and the keys they had at first."""
    entry = json.loads(FROZEN.read_text())["runs"][name]
    config = parse_config(entry["config"], f"{FROZEN.name}: {name}")
    help = (
        f"the keys of the frozen run {name!r} changed: runs that users have stored would no longer"
        " be found, and would be trained again. Never edit an existing entry of frozen_keys.json."
        " A field was added: declare its Neutral value, the one under which the code behaves as"
        " before, and let it be the default. A field was renamed or removed: read the old form too."
        " A result's meaning changed: raise that component's protocol number instead."
        f" A component was added: add an entry. {ADD}"
    )
    assert cell_id(config) == entry["cell"], help
    now, then = protocols(config), entry["protocols"]
    assert set(now) == set(then) and all(now[part] >= then[part] for part in then), help
    same = fingerprint(config, DATA, "random") == entry["fingerprint"]
    assert same == (now == then), help


def test_frozen_keys_are_of_every_component() -> None:
    used: set[str] = set()
    for entry in json.loads(FROZEN.read_text())["runs"].values():
        used.update(entry["protocols"])
    names = [f"{registry.kind}:{name}" for registry in REGISTRIES for name in registry.names()]
    missing = set(names) - used
    assert not missing, f"no entry of frozen_keys.json uses {sorted(missing)}. {ADD}"


def add_entry(name: str, path: Path) -> None:
    """Freeze the keys of a run given as YAML; an entry that is there stays."""
    stored = json.loads(FROZEN.read_text())
    assert name not in stored["runs"], f"{name!r} is there, and entries do not change"
    config = parse_config(yaml.safe_load(path.read_text()), str(path))
    keys = {
        "cell": cell_id(config),
        "fingerprint": fingerprint(config, DATA, "random"),
        "protocols": protocols(config),
    }
    stored["runs"][name] = {**keys, "config": config.model_dump(mode="json")}
    entries = [f"  {json.dumps(key)}: {json.dumps(run)}" for key, run in stored["runs"].items()]
    lines = ",\n".join(entries)
    FROZEN.write_text(f'{{"about": {json.dumps(stored["about"])},\n "runs": {{\n{lines}\n }}}}\n')


if __name__ == "__main__":
    add_entry(sys.argv[1], Path(sys.argv[2]))
