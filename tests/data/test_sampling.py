import pytest

from softprompt.data import Record, draw, keep_seen, pairs
from softprompt.data.formats.chats import conversations
from softprompt.data.sampling import folds, merge, set_aside
from softprompt.errors import DataError


def records(n: int, sources: int | None = None) -> list[Record]:
    return [Record(str(i), f"source {i % (sources or n)}", (f"target {i}",)) for i in range(n)]


def ids(drawn: list[Record]) -> list[str]:
    return [record.id for record in drawn]


def test_draw_is_the_same_everywhere():
    # Frozen: SHA-256 of "draw SEED PLACE" decides, so no platform or version may change these.
    assert ids(draw(records(20), 5, seed=0)) == ["0", "2", "4", "9", "12"]
    assert ids(draw(records(20), 5, seed=1)) == ["4", "9", "13", "14", "15"]


def test_draw_has_no_repeats_keeps_the_order_and_nests():
    pool = records(200)
    large, small = draw(pool, 100, seed=3), draw(pool, 50, seed=3)
    assert len(set(ids(large))) == 100
    assert ids(large) == sorted(ids(large), key=int)
    assert set(ids(small)) < set(ids(large))
    assert draw(pool, 200, seed=3) == pool


def test_draw_is_even():
    counts = [0] * 10
    for seed in range(500):
        for record in draw(records(10), 3, seed):
            counts[int(record.id)] += 1
    assert all(110 < count < 190 for count in counts), counts


@pytest.mark.parametrize("size", [0, 11])
def test_draw_of_a_size_that_is_not_there(size):
    with pytest.raises(
        DataError, match=rf"data\.train_size: got {size}, expected 1 to 10, .*. Ask for fewer"
    ):
        draw(records(10), size, 0, "data.train_size")


@pytest.mark.parametrize(("size", "n_dev"), [(50, 15), (100, 30), (200, 60), (500, 150)])
def test_a_share_of_a_draw_keeps_sources_apart(size, n_dev):
    drawn = draw(records(600, sources=90), size, seed=1)
    train, dev = set_aside(drawn, 1, 0.3)
    assert (len(train), len(dev)) == (size - n_dev, n_dev)
    assert sorted(ids(train) + ids(dev), key=int) == ids(drawn)
    assert not {pair.source for pair in train} & {pair.source for pair in dev}


def test_seeds_draw_differently():
    assert len({tuple(ids(draw(records(600), 50, seed))) for seed in range(5)}) == 5


def test_set_aside_fills_up_with_single_pairs_where_sources_are_too_large():
    train, dev = set_aside(records(10, sources=1), 0, 0.3)
    assert (len(train), len(dev)) == (7, 3)


@pytest.mark.parametrize(("share", "n_dev"), [(0.01, 1), (0.5, 2), (0.99, 2)])
def test_set_aside_leaves_something_on_both_sides(share, n_dev):
    train, dev = set_aside(records(3), 0, share)
    assert (len(train), len(dev)) == (3 - n_dev, n_dev)


def chats(n, opening="question {i}"):
    """Conversations of one to four answers."""
    made = []
    for i in range(n):
        turns = [(role, f"{role} {i} {k}") for k in range(1 + i % 4) for role in ("user", "assistant")]
        turns[0] = ("user", opening.format(i=i))
        value = [{"role": role, "content": text} for role, text in turns]
        made += conversations(value, f"chat {i}", f"line {i}")
    return made


def chats_of(records):
    return {record.id.partition("/")[0] for record in records}


def test_conversations_are_set_aside_whole():
    turns = chats(40)
    train, dev = set_aside(turns, 0, 0.3)
    assert not chats_of(train) & chats_of(dev)
    assert len(dev) == round(0.3 * len(turns)) and len(train) + len(dev) == len(turns)
    fold_of = folds(turns, 4, 0)
    for fold in range(4):
        inside = [turn for turn, at in zip(turns, fold_of, strict=True) if at == fold]
        outside = [turn for turn, at in zip(turns, fold_of, strict=True) if at != fold]
        assert inside and not chats_of(inside) & chats_of(outside)


def test_conversations_that_begin_with_the_same_question_stay_together():
    train, dev = set_aside([*chats(20, "hello"), *chats(20)[10:]], 0, 0.3)
    assert ("hello" in str(train)) != ("hello" in str(dev))


def test_one_conversation_alone_cannot_be_shared_out():
    with pytest.raises(DataError, match=r"data\.dev_share: got turns of one conversation alone"):
        set_aside(chats(4)[-4:], 0, 0.3)
    train, dev = set_aside([*chats(4)[-4:], *chats(3)[-3:]], 0, 0.1)
    assert (len(train), len(dev)) == (4, 3)


def test_set_aside_needs_two_pairs():
    with pytest.raises(
        DataError, match=r"data\.dev_share: got 1 training pairs, expected at least 2 pairs, to be split"
    ):
        set_aside(records(1), 0, 0.3)


def test_merge_undoes_pairs():
    tagged = Record("c", "s", ("y",), {"category": "Food"})
    whole = [Record("a", "s", ("t", "u")), Record("b", "r", ("v",)), tagged]
    merged = merge(pairs(whole))
    assert [(r.source, r.targets, r.tags) for r in merged] == [(r.source, r.targets, r.tags) for r in whole]
    assert ids(merged) == ["a/0", "b/0", "c/0"]


def test_keep_seen():
    seen, unseen = Record("a", "s", ("t",), {"seen": "seen"}), Record("b", "s", ("t",), {"seen": "unseen"})
    assert keep_seen([seen, unseen, seen]) == [seen, seen]
    with pytest.raises(DataError, match=r"data\.extrapolation: got no record of a seen category"):
        keep_seen([unseen])
    with pytest.raises(
        DataError,
        match=r"data\.extrapolation: got 0 without the tag 'seen', expected "
        r".*\. Use extrapolation with webnlg",
    ):
        keep_seen([*records(1), seen])
