"""Tests of significance against published examples, closed forms and counts by hand."""

import math

import pytest

from softprompt.errors import DataError
from softprompt.studies.comparisons.statistics import count_wins, paired_t, welch, wilcoxon

# Ruxton's kind of example, as Wikipedia's article on Welch's test prints it: unequal sizes and variances.
SMALL = [17.2, 20.9, 22.6, 18.1, 21.7, 21.4, 23.5, 24.2, 14.7, 21.8]
LARGE = [
    21.5, 22.8, 21.0, 23.0, 21.6, 23.6, 22.5, 20.7, 23.4, 21.8,
    20.7, 21.7, 21.5, 22.5, 23.6, 21.5, 22.5, 23.5, 21.5, 21.8,
]  # fmt: skip


def tail_of_two(t):
    """P(T >= t) of Student's t with 2 degrees of freedom, in closed form."""
    return 0.5 - t / (2 * math.sqrt(2 + t * t))


def test_welch_of_a_published_example():
    # two-sided 0.149 there
    assert 2 * welch(LARGE, SMALL) == pytest.approx(0.149, abs=5e-4)
    assert welch(SMALL, LARGE) == pytest.approx(1 - welch(LARGE, SMALL), abs=1e-12)


def test_welch_of_two_pairs_is_the_closed_form():
    # equal variances of 0.5 and two values each: t = 3 / sqrt(0.5), 2 degrees of freedom
    assert welch([3.0, 4.0], [0.0, 1.0]) == pytest.approx(tail_of_two(3 / math.sqrt(0.5)), rel=1e-12)
    assert welch([1.0, 2.0], [1.0, 2.0]) == 0.5


def test_p_values_are_those_of_the_formulas_that_this_project_had_before():
    """Written down from Welch's and Student's formulas, by hand, before scipy's tests took their place."""
    a, b, c = [71.25, 70.5, 72.125, 69.75], [70.0, 70.25, 69.5, 70.125], [55.5, 61.0, 58.25]
    assert welch(a, b) == pytest.approx(0.08092351773154122, rel=1e-12)
    assert welch(a, c) == pytest.approx(0.004846988640194168, rel=1e-12)
    assert welch(c, b) == pytest.approx(0.9914871578482048, rel=1e-12)
    assert paired_t(a, b) == pytest.approx(0.12373038188828066, rel=1e-12)


def test_differences_that_are_nearly_the_same_are_no_warning():
    assert 0 <= paired_t([0.3, 0.2, 50.1], [0.2, 0.1, 50.0]) < 1e-20


def test_welch_where_one_side_is_constant_has_the_others_degrees_of_freedom():
    # variance 1 over 3 values: t = 2 / sqrt(1/3), 2 degrees of freedom
    assert welch([2.0, 3.0, 4.0], [1.0] * 9) == pytest.approx(tail_of_two(2 * math.sqrt(3)), rel=1e-12)


def test_welch_without_any_spread():
    third = [100 / 3] * 3
    assert welch(third, third) == 0.5
    assert welch(third, [100 / 3] * 7) == 0.5  # exact, whatever the counts
    assert (welch([2.0, 2.0], [1.0, 1.0, 1.0]), welch([1.0, 1.0], [2.0, 2.0])) == (0.0, 1.0)


def test_welch_of_tiny_and_huge_numbers():
    expected = welch([3.0, 4.0], [0.0, 1.0])
    for scale in (1e-150, 1e150):
        assert welch([3 * scale, 4 * scale], [0.0, scale]) == pytest.approx(expected, rel=1e-9)


def test_paired_t_is_the_closed_form():
    # differences 1, 2, 3: mean 2, variance 1
    assert paired_t([2.0, 4.0, 6.0], [1.0, 2.0, 3.0]) == pytest.approx(
        tail_of_two(2 * math.sqrt(3)), rel=1e-12
    )
    assert paired_t([1.0, 2.0], [1.0, 2.0]) == 0.5
    assert (paired_t([2.0, 3.0], [1.0, 2.0]), paired_t([1.0, 2.0], [2.0, 3.0])) == (0.0, 1.0)


def test_wilcoxon_counts_the_signs_of_ranks():
    zeros = [0.0] * 5
    assert wilcoxon([1.0, 2.0, 3.0, 4.0, 5.0], zeros) == pytest.approx(1 / 32)
    # of 32 ways two reach a sum of 14 or more: all positive, and all but the smallest
    assert wilcoxon([-1.0, 2.0, 3.0, 4.0, 5.0], zeros) == pytest.approx(2 / 32)
    assert wilcoxon([-1.0, -2.0, -3.0, -4.0, -5.0], zeros) == 1.0
    # equal pairs are dropped
    assert wilcoxon([1.0, 2.0, 3.0, 4.0, 5.0, 0.0], [*zeros, 0.0]) == pytest.approx(1 / 32)
    assert wilcoxon([1.0, 2.0], [1.0, 2.0]) == 0.5


def test_wilcoxon_with_ties_needs_no_exact_ranks():
    # 0.3 - 0.2 and 0.2 - 0.1 differ in the last bit, and are one difference
    p = wilcoxon([0.3, 0.2, 5.0], [0.2, 0.1, 1.0])
    assert p == pytest.approx(1 / 8)
    assert 0 < wilcoxon([float(i % 7) for i in range(41)], [1.0] * 41) < 0.01


@pytest.mark.parametrize("test", [welch, paired_t, wilcoxon])
@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([1.0], [1.0], "got 1 value, expected at least 2 values, since one has no spread."),
        ([1.0, math.nan], [1.0, 2.0], "got nan, expected finite numbers."),
    ],
)
def test_values_that_say_nothing(test, a, b, message):
    with pytest.raises(DataError) as caught:
        test(a, b)
    assert str(caught.value) == f"{test.__name__}: {message}"


def test_pairs_need_equal_lengths():
    with pytest.raises(DataError, match=r"paired_t: got 2 and 3 values, expected pairs: as many values of"):
        paired_t([1.0, 2.0], [1.0, 2.0, 3.0])


def test_wins_by_hand():
    found = count_wins(
        {"worst": [10.0, 11.0, 12.0], "middle": [50.0, 51.0, 52.0], "near": [50.5, 51.5, 52.5]}
    )
    # 40 apart with a spread of 1 is certain, 0.5 apart is luck
    assert found.score == {"worst": 0, "middle": 1, "near": 1}
    assert found.winners == ("middle", "near")
    assert found.p["middle"]["worst"] < 1e-5 < 0.2 < found.p["near"]["middle"] < 0.3
    assert found.p["worst"]["middle"] == pytest.approx(1 - found.p["middle"]["worst"])


def test_everybody_wins_where_nobody_beats_anybody():
    assert count_wins({"a": [1.0, 5.0], "b": [2.0, 4.0]}).winners == ("a", "b")
    same = count_wins({"a": [50.0, 50.0], "b": [50.0, 50.0]})
    assert same.winners == ("a", "b") and same.score == {"a": 0, "b": 0}


def test_constants_that_differ_win_and_lose():
    found = count_wins({"a": [50.0, 50.0], "b": [51.0, 51.0]})
    assert found.winners == ("b",) and found.score == {"a": 0, "b": 1}


def test_the_level_decides():
    rows = {"a": [1.0, 2.0, 3.0], "b": [3.0, 4.0, 5.0]}
    p = count_wins(rows).p["b"]["a"]
    assert 0.025 < p < 0.05
    assert count_wins(rows).winners == ("a", "b") and count_wins(rows, alpha=0.05).winners == ("b",)


def test_one_row_alone_wins_nothing():
    assert count_wins({"a": [1.0, 2.0]}).winners == () == count_wins({}).winners
