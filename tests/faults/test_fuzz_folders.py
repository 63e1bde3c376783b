"""Damaged and forged prompt folders: the same prompt, or a sentence."""

import tempfile
from pathlib import Path
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from faults.fuzz.folder_mutations import MUTATIONS
from faults.fuzz.folders import attempt, choose, originals


@settings(max_examples=250, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_a_damaged_folder_loads_the_same_prompt_or_is_refused(seed):
    with tempfile.TemporaryDirectory() as scratch:
        assert attempt(Random(seed), Path(scratch)) in ("same", "refused")


def test_folders_that_are_left_alone_load(tmp_path):
    """Among the changes are some that mean the same, so `same` is an outcome too."""
    outcomes = {attempt(Random(seed), tmp_path / str(seed)) for seed in range(60)}
    assert outcomes == {"same", "refused"}
    assert {choose(Random(seed)) for seed in range(60)} == MUTATIONS.keys() and originals() is originals()
