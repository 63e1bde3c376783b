"""Damaged data files and pictures: read as what they hold, or refused; `make fuzz` tries thousands."""

import os
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faults.fuzz import data
from faults.fuzz.samples import SAMPLES
from softprompt.data import FORMATS, read

pytestmark = pytest.mark.skipif(os.name == "nt", reason="pipes and links need rights on Windows")


@settings(
    derandomize=True, deadline=None, max_examples=200, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(number=st.integers(0, 2**32 - 1))
def test_data(tmp_path_factory, number):
    assert data.attempt(Random(number), tmp_path_factory.mktemp("fuzz")) in ("read", "refused")


def test_every_format_is_damaged():
    elsewhere = {"restaurants", "datasets", "datasets_images", "image_folder"}
    elsewhere |= {
        "pictures",
        "pictured",
        "pictured_jsonl",
        "pictured_csv",
    }  # with files beside them: tests/data/test_pictured.py
    assert set(SAMPLES) | elsewhere >= {name for name in FORMATS if "test" not in name}


@pytest.mark.parametrize("format", SAMPLES)
def test_samples_are_read(format, tmp_path):
    for sample in SAMPLES[format]:
        file = tmp_path / sample.name
        file.write_bytes(sample.content.encode(sample.encoding))
        assert len(read(format, file, **sample.options)) >= 2


def test_a_wrong_load_is_noticed(monkeypatch, tmp_path_factory):
    def one_less(format, path, **options):
        records = read(format, path, **options)
        return records if path.parent.name == "plain" else records[:-1]

    monkeypatch.setattr(data, "read", one_less)
    caught = 0
    for number in range(200):
        if data.choose(Random(number)).startswith("same"):
            try:
                data.attempt(Random(number), tmp_path_factory.mktemp("fuzz"))
            except AssertionError:
                caught += 1
    assert caught > 5
