"""Draws are functions of their key.

They are equal everywhere, whatever else is drawn, and random enough to train with.
"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from echolm.randomness import (
    below,
    fold,
    generators,
    normal,
    order,
    sample_keys,
    seeded,
    to_tensor,
    uniform,
    word,
)

MASK = (1 << 64) - 1
NAMES = [f"0X{number:016X}" for number in range(2000)]
words = st.integers(0, MASK) | st.sampled_from([0, 1, 2**63 - 1, 2**63, MASK])


def splitmix(state: int) -> int:
    """One step of splitmix64 in exact integers (Steele et al. 2014, figure 17)."""
    z = (state + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def draws(count: int, *place: object) -> np.ndarray:
    """len(NAMES) x count uniform values at a place."""
    return uniform(to_tensor(fold(sample_keys(NAMES), *place)), count).numpy().astype(np.float64)


class TestKeys:
    """64-bit words from names and places."""

    def test_equal_in_another_process(self) -> None:
        code = (
            "from echolm.randomness import *; k = sample_keys(['a', 'ü', 'b']);"
            "print(word('x', 1, None), k.tolist(), fold(k, 3, 'p').tolist(),"
            "order(k, 1, 2).tolist(),"
            "uniform(to_tensor(k), 2).tolist(), normal(to_tensor(k), 2).tolist(),"
            "[g.random() for g in generators(k)])"
        )
        environment = {**os.environ, "PYTHONHASHSEED": "7", "LC_ALL": "C"}
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
        k = sample_keys(["a", "ü", "b"])
        here = (
            word("x", 1, None),
            k.tolist(),
            fold(k, 3, "p").tolist(),
            order(k, 1, 2).tolist(),
            uniform(to_tensor(k), 2).tolist(),
            normal(to_tensor(k), 2).tolist(),
            [g.random() for g in generators(k)],
        )
        assert done.stdout.strip() == " ".join(map(str, here))

    def test_equal_to_those_of_the_first_release(self) -> None:
        """Other values would change every result: raise TRAINING_PROTOCOL with them."""
        keys = sample_keys(["a", "b", "c"])
        assert word("order", 0, 1) == 0x21D084C657346C27
        assert keys.tolist() == [15956863571578474038, 11870536586459566718, 10874887247141294139]
        assert fold(keys, 1).tolist() == [
            7599244628503915363,
            6557377502024253730,
            10096113575199823754,
        ]

    def test_names_may_be_any_text(self) -> None:
        names = ["", " ", "a b", "a\nb", "'\"", "ü", "u\u0308", "\udcff", "🫀", "a" * 10_000]
        assert len(set(sample_keys(names).tolist())) == len(names)

    def test_parts_are_separate(self) -> None:
        assert (
            len({word("ab", "c"), word("a", "bc"), word("abc"), word("abc", ""), word("c", "ab")})
            == 5
        )

    @given(st.lists(words, min_size=1, max_size=5), st.text())
    def test_fold_equals_exact_integers(self, keys: list[int], place: str) -> None:
        assert fold(np.array(keys, np.uint64), place, 3).tolist() == [
            splitmix(key ^ word(place, 3)) for key in keys
        ]

    @given(st.lists(words, min_size=1, max_size=5))
    def test_tensors_hold_the_same_bits(self, keys: list[int]) -> None:
        tensor = to_tensor(np.array(keys, np.uint64))
        assert tensor.dtype == torch.int64
        assert [value & MASK for value in tensor.tolist()] == keys

    def test_a_tensor_is_no_view_of_the_keys(self) -> None:
        keys = np.array([1], np.uint64)
        to_tensor(keys)[0] = 5
        assert keys[0] == 1


class TestOrder:
    """The order of an epoch."""

    def test_a_permutation_that_changes_with_epoch_and_seed(self) -> None:
        keys = sample_keys(NAMES)
        orders = [order(keys, seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
        for one in orders:
            assert sorted(one.tolist()) == list(range(len(keys)))
        for i, one in enumerate(orders):
            assert np.array_equal(one, order(keys, i // 2, i % 2))
            for other in orders[:i]:
                assert (
                    abs(scipy.stats.spearmanr(np.argsort(one), np.argsort(other)).statistic) < 0.1
                )

    @given(st.sets(st.integers(0, 199), min_size=1), st.integers(0, 3), st.integers(0, 3))
    def test_a_subset_keeps_its_relative_order(
        self, chosen: set[int], seed: int, epoch: int
    ) -> None:
        names = NAMES[:200]
        whole = [names[i] for i in order(sample_keys(names), seed, epoch)]
        subset = [names[i] for i in sorted(chosen)]
        alone = [subset[i] for i in order(sample_keys(subset), seed, epoch)]
        assert alone == [name for name in whole if name in set(subset)]

    @given(st.permutations(range(50)))
    def test_the_order_of_the_store_does_not_matter(self, shuffled: list[int]) -> None:
        names = [NAMES[i] for i in shuffled]
        assert [names[i] for i in order(sample_keys(names), 0, 0)] == [
            NAMES[i] for i in order(sample_keys(NAMES[:50]), 0, 0)
        ]

    def test_no_sample(self) -> None:
        assert order(sample_keys([]), 0, 0).tolist() == []


class TestUniform:
    """Values in [0, 1) from keys."""

    @given(st.lists(words, min_size=1, max_size=4), st.integers(1, 5))
    def test_equals_exact_integers(self, keys: list[int], count: int) -> None:
        values = uniform(to_tensor(np.array(keys, np.uint64)), count)
        golden = 0x9E3779B97F4A7C15
        expected = [
            [(splitmix((key + i * golden) & MASK) >> 40) / 2**24 for i in range(count)]
            for key in keys
        ]
        assert values.dtype == torch.float32 and values.tolist() == expected

    @given(st.lists(words, min_size=1, max_size=3), st.floats(0, 1))
    def test_below_compares_what_is_drawn(self, keys: list[int], limit: float) -> None:
        tensor = to_tensor(np.array(keys, np.uint64))
        values = uniform(tensor, 40)
        for value in (limit, float(values[0, 7]), 0.0, 1.0):
            assert torch.equal(below(tensor, 40, value), values < value)

    def test_is_uniform(self) -> None:
        values = draws(50, "mask", 0)
        assert values.min() >= 0 and values.max() < 1
        assert scipy.stats.kstest(values.ravel(), "uniform").pvalue > 0.01
        for row in (values[0], values[:, 0]):
            assert scipy.stats.kstest(row, "uniform").pvalue > 0.001

    def test_keys_and_places_are_independent(self) -> None:
        a, b, c = (
            draws(20, "mask", "head.2", 0),
            draws(20, "mask", "head.5", 0),
            draws(20, "mask", "head.2", 1),
        )
        pairs = [
            (a, b),
            (a, c),
            (b, c),
            (a[1:], a[:-1]),
            (a[:, 1:], a[:, :-1]),
            (a[1:, 1:], a[:-1, :-1]),
        ]
        for x, y in pairs:
            cells = np.histogram2d(x.ravel(), y.ravel(), bins=8, range=[[0, 1], [0, 1]])[0]
            assert scipy.stats.chisquare(cells.ravel()).pvalue > 0.001

    def test_neighbouring_seeds_and_epochs_are_independent(self) -> None:
        values = np.stack(
            [draws(4, seed, epoch).ravel() for seed in range(5) for epoch in range(5)]
        )
        correlations = np.corrcoef(values)[np.triu_indices(25, 1)]
        assert np.abs(correlations).max() < 5 / np.sqrt(values.shape[1])

    @settings(max_examples=25)
    @given(st.permutations(range(32)), st.lists(st.integers(0, 32), max_size=3))
    def test_any_order_and_split_of_the_batch_draws_the_same_bits(
        self, shuffled: list[int], cuts: list[int]
    ) -> None:
        keys = to_tensor(sample_keys(NAMES[:32]))
        for draw in (uniform, normal):
            whole = draw(keys, 7)
            parts = torch.split(torch.tensor(shuffled), np.diff([0, *sorted(cuts), 32]).tolist())
            pieces = torch.cat([draw(keys[part], 7) for part in parts])
            assert torch.equal(pieces, whole[shuffled])

    def test_more_draws_begin_with_the_same(self) -> None:
        keys = to_tensor(sample_keys(NAMES[:3]))
        assert torch.equal(uniform(keys, 9)[:, :4], uniform(keys, 4))

    def test_an_empty_batch(self) -> None:
        assert (
            uniform(to_tensor(sample_keys([])), 3).shape
            == normal(to_tensor(sample_keys([])), 3).shape
            == (0, 3)
        )


class TestNormal:
    """Standard normal values from keys."""

    def test_is_standard_normal(self) -> None:
        values = normal(to_tensor(sample_keys(NAMES)), 50).double().numpy().ravel()
        assert np.isfinite(values).all()
        assert abs(values.mean()) < 5 / np.sqrt(values.size) and abs(
            values.var() - 1
        ) < 5 * np.sqrt(2 / values.size)
        assert scipy.stats.kstest(values, "norm").pvalue > 0.01

    def test_neighbours_are_independent(self) -> None:
        values = normal(to_tensor(sample_keys(NAMES)), 10).double().numpy()
        for x, y in [(values[1:], values[:-1]), (values[:, 1:], values[:, :-1])]:
            assert abs(np.corrcoef(x.ravel(), y.ravel())[0, 1]) < 5 / np.sqrt(x.size)


class TestGenerators:
    """numpy generators by key."""

    def test_equal_for_equal_keys_only(self) -> None:
        first, again, other = (
            generator.random(5).tolist()
            for generator in generators(np.array([1, 1, MASK], np.uint64))
        )
        assert first == again != other

    def test_uniform_over_keys(self) -> None:
        values = [generator.random() for generator in generators(sample_keys(NAMES))]
        assert scipy.stats.kstest(values, "uniform").pvalue > 0.01


class TestSeeded:
    """Initial weights by seed and place."""

    def test_equal_within_and_restored_after(self) -> None:
        torch.manual_seed(0)
        expected = torch.rand(3)
        torch.manual_seed(0)
        with seeded("head", 1):
            first = torch.rand(3)
            with seeded("head", 2):
                inner = torch.rand(3)
            rest = torch.rand(3)
        assert torch.equal(torch.rand(3), expected)
        with seeded("head", 1):
            assert torch.equal(torch.rand(6), torch.cat([first, rest]))
        with seeded("head", 2):
            assert torch.equal(torch.rand(3), inner)
        assert not torch.equal(first, inner)

    def test_restored_after_an_error(self) -> None:
        state = torch.get_rng_state()
        with pytest.raises(RuntimeError, match="stop"), seeded(0):
            torch.rand(1)
            raise RuntimeError("stop")
        assert torch.equal(torch.get_rng_state(), state)
