from softprompt.tasks.batching import longest_first, pad


def test_pad_fills_the_asked_side_and_masks_it():
    ids, mask = pad([[5, 6, 7], [8]], 0, "left")
    assert ids.tolist() == [[5, 6, 7], [0, 0, 8]]
    assert mask.tolist() == [[1, 1, 1], [0, 0, 1]]
    ids, mask = pad([[5, 6, 7], [8]], -100, "right")
    assert ids.tolist() == [[5, 6, 7], [8, -100, -100]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_longest_first_covers_everything_once():
    assert longest_first([2, 9, 4, 9, 1], 2) == [[1, 3], [2, 0], [4]]
    assert longest_first([], 2) == []
