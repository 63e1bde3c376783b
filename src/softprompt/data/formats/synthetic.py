"""SYNTHETIC data: restaurants made by code, with fields like E2E's and several wordings each.

Nothing here is taken from a data set or from a person; names, places and wordings are this
file's own. It exists so that a demonstration and the tests need no download. Scores on it say
nothing about a method.
"""

import random
from collections.abc import Mapping, Sequence

from softprompt.data.records import Record
from softprompt.errors import ConfigError

SIZES = {"train": (80, 3), "dev": (30, 4), "test": (40, 4)}
"""Per split: how many restaurants, and how many wordings of each (train: 240 pairs)."""

_FIRST = (
    "Amber Birch Bramble Cedar Cobalt Copper Coral Crimson Fern Hazel Heron Indigo Ivory Juniper "
    "Lantern Linden Maple Marble Nettle Otter Pebble Quince Raven Saffron Sparrow Tamarind Thistle "
    "Velvet Walnut Willow"
).split()
_SECOND = "Anchor Barrel Bell Hearth Kettle Ladle Oven Pantry Spoon Table".split()
_LANDMARKS = (
    "the Corn Exchange",
    "the Old Observatory",
    "Fenwick Station",
    "the Glass Museum",
    "Larkhill Library",
    "the Tram Depot",
    "Quayside Theatre",
    "the Botanic Hall",
)
_VALUES = {
    "eatType": ("bistro", "tea room", "diner", "tavern", "noodle bar", "brasserie"),
    "food": ("Greek", "Korean", "Lebanese", "Mexican", "Polish", "Portuguese", "Thai", "Turkish"),
    "priceRange": ("cheap", "fairly priced", "expensive"),
    "customer rating": ("poor", "decent", "very good", "outstanding"),
    "area": ("old town", "harbour district", "market quarter", "university district"),
    "familyFriendly": ("yes", "no"),
    "near": _LANDMARKS,
}
_CHANCE = {
    "food": 0.8,
    "priceRange": 0.6,
    "customer rating": 0.6,
    "area": 0.7,
    "familyFriendly": 0.5,
    "near": 0.5,
}

# {what} is "cheap Thai bistro", {where} " in the old town, close to the Corn Exchange" or nothing.
_OPENINGS = (
    "{name} is {a} {what}{where}.",
    "Looking for {a} {what}? Try {name}{where}.",
    "Visit {name}, {a} {what}{where}.",
    "There is {a} {what} by the name of {name}{where}.",
    "Our tip for {a} {what} is {name}{where}.",
    "For {a} {what}, go to {name}{where}.",
)
_RATINGS = (
    "Guests rate it as {rating}.",
    "Its reviews are {rating}.",
    "Customers call it {rating}.",
    "The rating that visitors give it is {rating}.",
)
_FAMILY = {
    "yes": ("Children are welcome.", "Families are welcome here.", "It is a good choice for a family meal."),
    "no": ("It is meant for adults only.", "Families should look elsewhere.", "Children are not admitted."),
}
_BOTH = {
    "yes": (
        "It welcomes families and its reviews are {rating}.",
        "Rated {rating} by guests, it welcomes children.",
    ),
    "no": (
        "It takes no children and its reviews are {rating}.",
        "Rated {rating} by guests, it is for adults only.",
    ),
}


def read_restaurants(split: str | None, seed: int = 0) -> list[Record]:
    """The synthetic records of one split; no restaurant's name is in two splits.

    Args:
        split: `train`, `dev` or `test`.
        seed: which set of restaurants; the same seed gives the same texts everywhere.

    Returns:
        `SIZES[split]` records with sources such as `name : Amber Bell | eatType : diner` and
        targets that differ from each other.
    """
    if split not in SIZES:
        raise ConfigError("split", repr(split), f"one of {', '.join(SIZES)} for restaurants")
    names = [f"{first} {second}" for first in _FIRST for second in _SECOND]
    shuffled = _shuffled(names, random.Random(f"names {seed}"))
    start = sum(SIZES[before][0] for before in list(SIZES)[: list(SIZES).index(split)])
    count, wordings = SIZES[split]
    # Every restaurant has its own stream, so that one wording more changes no other record.
    return [
        _record(split, number, name, wordings, random.Random(f"{split} {number} {seed}"))
        for number, name in enumerate(shuffled[start : start + count])
    ]


def _record(split: str, number: int, name: str, wordings: int, rng: random.Random) -> Record:
    facts = {"name": name, "eatType": _pick(_VALUES["eatType"], rng)}
    for field, chance in _CHANCE.items():
        if rng.random() < chance:
            facts[field] = _pick(_VALUES[field], rng)
    source = " | ".join(f"{field} : {value}" for field, value in facts.items())
    openings = _shuffled(_OPENINGS, rng)[:wordings]
    targets = tuple(_text(facts, opening, rng) for opening in openings)
    return Record(f"synthetic-restaurants/{split}/{number}", source, targets)


def _text(facts: Mapping[str, str], opening: str, rng: random.Random) -> str:
    parts = [facts.get("priceRange"), facts.get("food"), facts["eatType"]]
    what = " ".join(part for part in parts if part)
    article = "an" if what[0] in "aeio" else "a"
    sentence = opening.format(name=facts["name"], a=article, what=what, where=_where(facts, rng))
    return " ".join([sentence, *_rest(facts, rng)])


def _where(facts: Mapping[str, str], rng: random.Random) -> str:
    area, near = facts.get("area"), facts.get("near")
    inside = f" in the {area}" if area else ""
    beside = f"{_pick((' close to', ' near', ' next to'), rng)} {near}" if near else ""
    # A comma parts the two places where both are given.
    return f"{inside},{beside}" if inside and beside else inside or beside


def _rest(facts: Mapping[str, str], rng: random.Random) -> list[str]:
    rating, family = facts.get("customer rating"), facts.get("familyFriendly")
    if rating and family and rng.random() < 0.5:
        return [_pick(_BOTH[family], rng).format(rating=rating)]
    sentences = [_pick(_RATINGS, rng).format(rating=rating)] if rating else []
    return sentences + ([_pick(_FAMILY[family], rng)] if family else [])


# Only random() keeps its stream across Python versions; choice() and shuffle() promise nothing.
def _pick(options: Sequence[str], rng: random.Random) -> str:
    return options[int(rng.random() * len(options))]


def _shuffled(options: Sequence[str], rng: random.Random) -> list[str]:
    return sorted(options, key=lambda _: rng.random())
