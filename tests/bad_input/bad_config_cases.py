"""Cases of bad input: configurations, grids, plugins. See ``bad_input_cases.py``."""

from __future__ import annotations

from bad_input_case import SHOW, TRAIN, bad_grid, bad_run, refused
from bad_input_support import config, folder, grid, mode, steps, swap, write

TOKENS = """
from typing import ClassVar, Literal
from echolm.heads import HEADS, Head

@HEADS.register
class TokenReader(Head):
    needs: ClassVar[tuple[str, ...]] = ("tokens",)
    takes: ClassVar[Literal["vector", "features"]] = "features"
    name: Literal["token-reader"] = "token-reader"
"""
PLUGIN = "ECHOLM_PLUGINS=own_heads "

CONFIGS = [
    # a run
    bad_run("an unknown field", config(heda="mlp"), "unknown field 'heda'; did you mean 'head'?"),
    bad_run(
        "text for a number",
        config(epochs="many"),
        "epochs: 'many' is not valid; valid: a whole number",
    ),
    bad_run(
        "a word that is not of a choice",
        config(data={"name": "phantom", "of": "trian"}),
        "data.of: 'trian' is not valid; did you mean 'train'? valid: train, train+val",
    ),
    bad_run(
        "neither a word nor a number",
        config(views="frsh"),
        "views: 'frsh' is not valid; did you mean 'fresh'? valid: fresh, or a whole number",
    ),
    refused(
        "a word where a value is a number",
        config(data={"name": "phantom", "where": {"ef": "low"}}),
        TRAIN,
        "Error: {workspace}/data/phantom: data.where: ef: 'low' is no number, and ef is one; "
        "write <60, <=60, >60, >=60, or 60-75",
    ),
    refused(
        "a range that no item is in",
        config(data={"name": "phantom", "where": {"ef": ">=200"}}),
        TRAIN,
        "Error: {workspace}/data/phantom: data.where: no item has ef >=200; the store has ",
    ),
    bad_run(
        "a list for a head",
        config(head=["mlp"]),
        "head: a head is a name or a mapping with 'name'; valid names: ",
    ),
    bad_run("no head", config(head=None), "head: is missing"),
    bad_run(
        "more blocks than there are",
        config(trainable="k9"),
        "trainable.blocks: 9 of encoder tiny-r3d, which has 4; valid: k0 to k4, all",
    ),
    bad_run(
        "an unknown encoder",
        config(encoder="tiny-r4d"),
        "encoder: unknown encoder 'tiny-r4d'; did you mean 'tiny-r3d'?",
    ),
    bad_run(
        "a negative number of epochs",
        config(epochs=-3),
        "epochs: -3 is not valid; valid: 1 or more",
    ),
    bad_run(
        "a yes for a number", config(epochs=True), "epochs: True is not a number (in YAML yes,"
    ),
    bad_run(
        "a yes for blocks",
        config(trainable={"blocks": True}),
        "trainable: blocks: True is not a number",
    ),
    bad_run(
        "very many blocks",
        config(trainable="k" + "9" * 20),
        "trainable: 'k999",
        "is not a freezing regime",
    ),
    bad_run(
        "a NaN learning rate",
        config(optimizer={"name": "adam", "lr": float("nan")}),
        "optimizer.lr: nan is not valid; valid: a finite number",
    ),
    bad_run(
        "a seed as text",
        config(seed="first"),
        "seed: 'first' is not valid; valid: a whole number",
    ),
    refused(
        "a store that is not there",
        config(data="camus"),
        TRAIN,
        "Error: {workspace}/data/camus: no clip store here; make one with: echolm data prepare",
    ),
    refused(
        "a phantom that was never generated",
        config(data="camus-phantom"),
        TRAIN,
        "Error: {workspace}/data/camus-phantom: no clip store here; generate the phantom "
        "(echolm data phantom camus PATH), then make one with: "
        "echolm data prepare camus PATH --name camus-phantom",
    ),
    refused(
        "an empty folder in the place of a phantom",
        steps(config(data="camus-phantom"), folder("{workspace}/data/camus-phantom")),
        TRAIN,
        "Error: {workspace}/data/camus-phantom: not a clip store (no store.json); generate the "
        "phantom (echolm data phantom camus PATH), then make one with: ",
    ),
    bad_run(
        "a key twice",
        write("{run}", "data: phantom\nepochs: 1\nepochs: 2\n"),
        "not valid YAML: 'epochs' is given twice",
        "line 3",
    ),
    bad_run(
        "tabs as indentation",
        write("{run}", "data:\n\tname: phantom\n"),
        "not valid YAML: ",
        "line 2",
    ),
    bad_run(
        "a bracket that stays open",
        write("{run}", "data: [phantom\n"),
        "not valid YAML: ",
        "line 1",
    ),
    bad_run(
        "1000 brackets that stay open",
        write("{run}", "[" * 1000),
        "not valid YAML: nested too deeply",
    ),
    bad_run(
        "an alias of itself",
        write("{run}", "data: phantom\nhead: &h {name: mlp, width: [*h]}\n"),
        "holds over 1,000,000 values; does an alias (*name) stand for what holds it?",
    ),
    bad_run(
        "aliases of aliases",
        write(
            "{run}",
            "a0: x\n"
            + "".join(
                f"a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n > 1 else 'x'] * 9)}]\n"
                for n in range(1, 30)
            ),
        ),
        "holds over 1,000,000 values",
    ),
    bad_run("bytes that are no text", write("{run}", bytes(range(256))), "not valid YAML: "),
    bad_run(
        "YAML that would run code",
        write("{run}", "data: !!python/object/apply:os.system ['touch {root}/the-code-ran']\n"),
        "not valid YAML: ",
        "python/object/apply",
    ),
    bad_run(
        "an empty file",
        write("{run}", ""),
        "a run's configuration is empty; valid: a mapping with data,",
    ),
    bad_run("a folder as a configuration", folder("{run}"), "cannot be read: Is a directory"),
    bad_run("an unreadable configuration", mode("{run}", 0), "cannot be read: Permission denied"),
    # a grid
    bad_grid(
        "an axis without values", grid({"head": []}), "axes.head: an axis needs at least one value"
    ),
    bad_grid(
        "an axis that is no field",
        grid({"hed": ["mlp"]}),
        "axes.hed: a run has no field 'hed'; did you mean 'head'?",
    ),
    refused(
        "an unknown encoder on an axis",
        grid({"encoder": ["tiny-r3d", "r3d18"]}),
        "echolm status {grid}",
        (
            "Error: {grid}: cell encoder=r3d18: encoder: unknown encoder 'r3d18'; did "
            "you mean 'r3d-18'?"
        ),
    ),
    refused(
        "too many blocks on an axis",
        grid({"trainable": ["k4", "k5"]}),
        "echolm launch {grid}",
        "Error: {grid}: cell trainable=k5: trainable.blocks: 5 of encoder tiny-r3d, which has 4",
    ),
    bad_grid(
        "a label that cannot be typed",
        grid({"head": [{"label": "a,b", "set": {"head": "mlp"}}]}),
        "axes.head: label: 'a,b' cannot be typed after --where: empty, or with a comma",
    ),
    bad_grid(
        "a label that a terminal obeys",
        grid({"head": [{"label": "\x1b[2J", "set": {"head": "mlp"}}]}),
        "axes.head: label: '\\x1b[2J' cannot be typed after --where",
    ),
    bad_grid(
        "a list as a label",
        grid({"head": [["mlp", "gcn"]]}),
        "axes.head: label: ",
        "cannot be typed",
        "give it a label: {label: ..., set: {head: ...}}",
    ),
    bad_grid(
        "an axis with the name of a tag",
        grid({"table": [{"label": "a", "set": {"head": "mlp"}}]}),
        "axes.table: --where table=... chooses by table; give the axis another name",
    ),
    refused(
        "a table of an axis that is not there",
        swap("{grid}", "- head\n", "- haed\n"),
        "echolm launch {grid}",
        (
            "Error: {grid}: table main of grid grid: rows: no cell has an axis 'haed'; "
            "did you mean 'head'?"
        ),
    ),
    refused(
        "a grid with the name of all that is none",
        write("{root}/single-runs.yaml", "axes: {head: [mlp]}\n"),
        "echolm launch single-runs.yaml",
        "Error: single-runs.yaml: a grid is named after its file, and single-runs are",
    ),
    refused(
        "a list as a grid",
        write("{grid}", "- mlp\n"),
        "echolm launch {grid}",
        "Error: {grid}: a grid definition is a mapping with 'axes'; this is list",
    ),
    refused(
        "an unknown grid",
        steps(),
        "echolm launch dmeo",
        "Error: no grid 'dmeo'; did you mean 'demo'?",
        "or give the path of a .yaml file",
    ),
    refused(
        "an unknown axis",
        steps(),
        "echolm launch {grid} --where heda=mlp",
        "Error: --where heda=...: grid grid has no such axis; did you mean 'head'?",
    ),
    refused(
        "an unknown label",
        steps(),
        "echolm cancel {grid} --where head=mpl",
        "Error: --where head=mpl: no cell has it; did you mean 'mlp'?",
    ),
    # a plugin
    refused(
        "a plugin that is not there",
        steps(),
        PLUGIN + SHOW,
        "Error: ECHOLM_PLUGINS names 'own_heads', which cannot be imported: ModuleNotFoundError",
    ),
    refused(
        "a plugin that is no Python",
        write("{root}/own_heads.py", "def"),
        PLUGIN + SHOW,
        "Error: ECHOLM_PLUGINS names 'own_heads', which cannot be imported: SyntaxError",
    ),
    refused(
        "a head that needs tokens",
        steps(
            write("{root}/own_heads.py", TOKENS),
            grid({"head": ["token-reader"], "encoder": ["tiny-r3d", "none"]}),
        ),
        PLUGIN + SHOW,
        "Error: {grid}: cell head=token-reader encoder=none: ",
        "token-reader needs tokens, which encoder none does not give; it gives pooled",
    ),
]
