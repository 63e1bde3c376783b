import hashlib

import pytest

from softprompt.data import pairs
from softprompt.data.formats.synthetic import SIZES, read_restaurants
from softprompt.data.formats.table_to_text import read_e2e
from softprompt.errors import ConfigError

FIELDS = ["name", "eatType", "food", "priceRange", "customer rating", "area", "familyFriendly", "near"]


def facts(source: str) -> dict[str, str]:
    return dict(part.split(" : ") for part in source.split(" | "))


def test_sizes_and_label():
    train, dev, test = (read_restaurants(split) for split in SIZES)
    assert (len(pairs(train)), len(dev), len(test)) == (240, 30, 40)
    assert all(len(record.targets) >= 3 for record in train + dev + test)
    assert all(record.id.startswith("synthetic-restaurants/") for record in train + dev + test)


def test_names_are_in_one_split_only():
    names = [facts(record.source)["name"] for split in SIZES for record in read_restaurants(split)]
    assert len(set(names)) == len(names) == 150


def test_texts_say_what_the_table_says():
    for record in (record for split in SIZES for record in read_restaurants(split)):
        table = facts(record.source)
        assert list(table) == [field for field in FIELDS if field in table]
        assert len(set(record.targets)) == len(record.targets)
        for field in set(table) - {"familyFriendly"}:
            assert all(table[field] in target for target in record.targets), (record.source, field)
        about_families = [
            any(word in t.lower() for word in ("famil", "child", "adults")) for t in record.targets
        ]
        assert about_families == ["familyFriendly" in table] * len(record.targets)
        assert all(
            target[-1] == "." and "  " not in target and " ," not in target for target in record.targets
        )
        assert not any(
            wrong in t for t in record.targets for wrong in (" a e", " an c", " an f", "{", "None")
        )


def test_every_field_and_value_is_seen_in_training():
    values = {pair for record in read_restaurants("train") for pair in facts(record.source).items()}
    later = {
        pair
        for split in ("dev", "test")
        for record in read_restaurants(split)
        for pair in facts(record.source).items()
    }
    assert {pair for pair in later if pair[0] != "name"} <= values


def test_texts_are_the_same_everywhere():
    # Frozen: the demonstration's data may not drift between platforms or versions by accident.
    text = "\n".join(t for split in SIZES for r in read_restaurants(split) for t in (r.source, *r.targets))
    assert (
        hashlib.sha256(text.encode("utf-8")).hexdigest()
        == "7d14c101e43f8fe26493f5b3039a210b664ca39c2165c55c1a291817406b943e"
    )


def test_another_seed_gives_other_restaurants():
    assert read_restaurants("test", seed=1) != read_restaurants("test")
    assert read_restaurants("test", seed=1) == read_restaurants("test", seed=1)


@pytest.mark.parametrize("split", [None, "tset"])
def test_unknown_split(split):
    with pytest.raises(
        ConfigError, match=rf"split: got {split!r}, expected one of train, dev, test for restaurants"
    ):
        read_restaurants(split)


def test_nothing_is_taken_from_e2e(real):
    theirs = [
        record for name in ("devset.csv", "testset_w_refs.csv") for record in read_e2e(real("e2e") / name)
    ]
    ours = [record for split in SIZES for record in read_restaurants(split)]
    for field in ("name", "near"):
        assert not {facts(r.source).get(field, "?") for r in ours} & {
            facts(r.source).get(field) for r in theirs
        }
    assert not {t for r in ours for t in r.targets} & {t for r in theirs for t in r.targets}
