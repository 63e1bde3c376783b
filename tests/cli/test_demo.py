from softprompt.cli.commands import demo


def test_demo_shows_before_and_after_size_and_place(softprompt, tiny_folder, tmp_path, monkeypatch):
    small = {
        "backbone": {"name": str(tiny_folder)},
        "method": {"name": "prefix_tuning", "length": 2, "initialization": "random", "width": 8},
        "data": {"format": "restaurants", "train_size": 8, "dev_size": 2, "test_size": 4},
        "decoding": {"strategy": "greedy", "max_new_tokens": 5},
        "training": {"steps": 2, "batch_size": 4},
    }  # fmt: skip
    monkeypatch.setattr(demo, "SETTINGS", {**demo.SETTINGS, **small})
    for name in ("demo", "demo-2"):
        result = softprompt("demo", "--output", tmp_path)
        assert result.code == 0
        assert "SYNTHETIC" in result.out
        assert result.out.count("\nbefore  ") == result.out.count("\nafter   ") == 3
        assert "BLEU on 4 synthetic test records" in result.out
        assert "prompt: 2 vectors" in result.out
        assert f"run folder: {tmp_path / name}" in result.out
        assert (tmp_path / name / "prompt" / "prompt.json").is_file()


def test_the_demos_own_settings_are_valid_and_bundled():
    from softprompt.backbones.loading.bundled import BUNDLED_NAMES
    from softprompt.config import parse_run

    assert parse_run(demo.SETTINGS).backbone.name in BUNDLED_NAMES
