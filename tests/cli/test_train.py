import json

import pytest

from cli.conftest import recipe_of
from softprompt.training import loop


def test_train_prints_scores_and_leaves_a_run_folder(trained):
    run = trained / "runs" / "small"
    for name in ("settings.yaml", "result.json", "prompt/prompt.json", "prompt/prompt.safetensors"):
        assert (run / name).is_file()


def test_output_moves_the_run_folder_and_the_table_has_all_metrics(softprompt, recipe, tmp_path):
    result = softprompt("train", recipe, "--output", tmp_path / "elsewhere", "--set", "name=moved")
    assert result.code == 0
    assert (tmp_path / "elsewhere" / "moved" / "prompt" / "prompt.json").is_file()
    assert "BLEU" in result.out and "TER" in result.out and "lower is better" in result.out
    assert f"run folder: {tmp_path / 'elsewhere' / 'moved'}" in result.out


def test_of_several_processes_one_talks(softprompt, recipe, monkeypatch):
    from softprompt.training.distributed import Processes

    monkeypatch.setattr(Processes, "is_main", False)
    result = softprompt("train", recipe, "--set", "name=quiet")
    assert (result.code, result.out) == (0, "")


def test_a_second_run_in_the_same_folder_is_refused_and_resume_gives_its_result(softprompt, trained):
    result = softprompt("train", trained / "recipe.yaml")
    assert result.code == 1 and "a finished run" in result.err and "--set name=small-2." in result.err
    assert softprompt("train", trained / "recipe.yaml", "--resume").code == 0


@pytest.mark.parametrize("at", [0, 2])
def test_interrupted_training_exits_130_and_says_how_to_go_on(softprompt, recipe, monkeypatch, at):
    step = loop.Loop._step

    def interrupted(self, *arguments):
        if self.state.step == at:
            raise KeyboardInterrupt
        return step(self, *arguments)

    monkeypatch.setattr(loop.Loop, "_step", interrupted)
    result = softprompt("train", recipe, "--set", "training.seed=3")
    run = recipe.parent / "runs" / "small"
    assert result.code == 130
    assert f"the checkpoint is in {run / 'checkpoints'}" in result.err
    assert f"go on with: softprompt train {recipe} --set training.seed=3 --resume" in result.err
    monkeypatch.undo()
    monkeypatch.setenv("COLUMNS", "200")
    result = softprompt("train", recipe, "--set", "training.seed=3", "--resume")
    assert result.code == 0
    assert f"going on from step {at}" in result.out


def test_interrupted_before_the_run_began_says_so(softprompt, recipe, monkeypatch):
    import softprompt.training.run as room

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(room, "build_parts", interrupted)
    result = softprompt("train", recipe)
    assert result.code == 130
    assert "before the first checkpoint" in result.err
    assert result.err.strip().endswith(f"go on with: softprompt train {recipe}")


def test_an_infix_trains_and_generates(softprompt, tmp_path, tiny_folder):
    """Prefix-Tuning's ablation: slots between source and target."""
    method = {"name": "p_tuning", "template": "{source} [soft*3] [blank]"}
    path = recipe_of(tmp_path, tiny_folder, method=method)
    ended = softprompt("train", path)
    assert ended.code == 0, ended.err
    run = tmp_path / "runs" / "small"
    assert "before:" not in (run / "samples.txt").read_text(encoding="utf-8")
    said = softprompt("generate", run, "name : Mill 1")
    assert said.code == 0, said.err
    again = softprompt("evaluate", run)
    assert again.code == 0, again.err
    scores = [
        json.loads((run / name).read_text())["scores"] for name in ("result.json", "evaluation-test.json")
    ]
    assert scores[0] == scores[1]
