"""Streams of random numbers by name, the same for as long as results must come out again."""

from __future__ import annotations

import numpy as np

from alphafoundry.seeds import generator, generator_for, seed_number


def test_seeds_depend_on_names_alone() -> None:
    assert seed_number(1, "a", 2) == seed_number(1, "a", 2)
    numbers = {seed_number(m, p, t) for m in (1, 2) for p in ("a", "b") for t in range(50)}
    assert len(numbers) == 200
    assert seed_number(1, "a", 2) != seed_number(1, "a", "2")
    assert generator(1, "a").random() == generator(1, "a").random()


def test_a_draw_does_not_depend_on_how_many_were_drawn_before_it() -> None:
    generator_for(7, "generate", 12).random(1000)
    first = generator_for(7, "generate", 13).random(5)
    np.testing.assert_array_equal(first, generator_for(7, "generate", 13).random(5))
    assert not np.isin(first, generator_for(7, "generate", 12).random(1000)).any()


def test_the_streams_are_those_of_earlier_versions() -> None:
    """Stored results, and markets that were made from a seed, must come out again."""

    def first(stream: np.random.Generator) -> list[int]:
        return stream.integers(10**9, size=3).tolist()

    assert seed_number(1, "parameter_discovery", 17) == 3338514573
    assert first(generator(3, "a", 2)) == [820488382, 811069627, 373228223]
    assert first(generator_for(7, "generate", 12)) == [718276055, 766249453, 111283668]
    assert first(generator_for(5, 4)) == [441572711, 164714523, 323478337]
