import pytest
from pydantic import ValidationError

from softprompt.config import TrainingSettings
from softprompt.errors import ConfigError
from softprompt.training.loop.schedule import check_warmup, learning_rate


def rates(n=10, **changes):
    settings = TrainingSettings(**{"steps": n, "learning_rate": 1.0, **changes})
    return [learning_rate(step, n, settings) for step in range(n)]


def test_linear_starts_at_the_full_rate_and_falls_in_equal_parts_to_above_zero():
    assert rates() == pytest.approx([1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])


def test_warmup_already_moves_in_its_first_step():
    assert rates(warmup_steps=4)[:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert rates(warmup_steps=4)[-1] == pytest.approx(1 / 6)


def test_cosine_is_half_in_the_middle_and_constant_stays():
    assert rates(schedule="cosine")[5] == pytest.approx(0.5)
    assert rates(schedule="cosine")[0] == 1.0
    assert rates(schedule="constant", warmup_steps=2) == pytest.approx([0.5] + [1.0] * 9)


def test_a_warmup_as_long_as_the_run_is_refused():
    with pytest.raises(ConfigError) as caught:
        check_warmup(10, TrainingSettings(steps=10, warmup_steps=10))
    assert str(caught.value) == (
        "training.warmup_steps: got 10, expected fewer than the run's 10 steps. Shorten "
        "the warm-up or train longer."
    )
    check_warmup(11, TrainingSettings(steps=11, warmup_steps=10))


def test_exponential_falls_by_its_factor_after_every_epoch():
    settings = TrainingSettings(epochs=4, learning_rate=2.0, schedule="exponential")
    found = [learning_rate(step, 12, settings, steps_per_epoch=3) for step in range(12)]
    assert found == pytest.approx([2.0] * 3 + [1.9] * 3 + [1.805] * 3 + [1.71475] * 3)
    half = TrainingSettings(epochs=3, learning_rate=1.0, schedule="exponential", decay=0.5)
    assert [learning_rate(s, 6, half, 2) for s in range(6)] == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]


def test_the_warmups_steps_count_as_steps_of_their_epochs():
    settings = TrainingSettings(steps=9, learning_rate=1.0, schedule="exponential", decay=0.5, warmup_steps=4)
    found = [learning_rate(step, 9, settings, steps_per_epoch=3) for step in range(9)]
    assert found == pytest.approx([0.25, 0.5, 0.75, 1.0, 0.5, 0.5, 0.25, 0.25, 0.25])


def test_a_decay_that_nothing_uses_is_refused():
    with pytest.raises(ValidationError, match=r"training\.decay: got 0\.9 with schedule 'linear'"):
        TrainingSettings(steps=3, decay=0.9)
