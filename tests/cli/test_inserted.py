"""Adapters and LoRA from a recipe to every command that reads their runs."""

import json

import pytest
import yaml

from cli.conftest import recipe_of
from support.folders import result_of
from support.tasks import recipe_of as reading_recipe

METHODS = {
    "adapter": (
        {"name": "adapter", "width": 3},
        "adapters of width 3 (relu, houlsby) beside 4 linear layers",
    ),
    "lora": ({"name": "lora", "rank": 2, "alpha": 3}, "LoRA of rank 2, alpha 3, beside 4 linear layers"),
}


@pytest.fixture(params=METHODS)
def method(request):
    if request.param == "lora":
        pytest.importorskip("peft")
    return request.param


def outputs_of(path):
    return [json.loads(line)["output"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_generation(softprompt, method, tmp_path, tiny_folder):
    path = recipe_of(tmp_path, tiny_folder, method=METHODS[method][0])
    assert softprompt("train", path).code == 0
    run = tmp_path / "runs" / "small"
    counts = result_of(run)["counts"]
    n = 4 * (2 * 32 * 3 + 3 + 32) if method == "adapter" else 2 * 2 * ((32 + 32) + (32 + 16))
    assert (counts["trained_parameters"], counts["stored_parameters"]) == (n, n)
    result = softprompt("evaluate", run, "--output", tmp_path / "again")
    assert result.code == 0
    scores = json.loads((tmp_path / "again" / "evaluation-test.json").read_text(encoding="utf-8"))["scores"]
    assert scores[0]["values"] == pytest.approx(result_of(run)["scores"][0]["values"])
    outputs = outputs_of(run / "outputs.jsonl")
    assert outputs_of(tmp_path / "again" / "outputs-test.jsonl") == outputs
    result = softprompt("generate", run, "name : Mill 6 | area : centre")
    assert result.code == 0 and result.out.strip() == outputs[0].strip()
    for arguments in ([run], [run, "--backbone", tiny_folder]):
        result = softprompt("inspect", *arguments)
        assert result.code == 0
        assert METHODS[method][1] in result.out and f"{n:,} numbers" in result.out
        assert ("(q_proj, v_proj)" in result.out) == (method == "lora")
    resolved = yaml.safe_load((run / "settings.yaml").read_text(encoding="utf-8"))
    assert resolved["method"].get("targets") == (["q_proj", "v_proj"] if method == "lora" else None)
    assert softprompt("train", run / "settings.yaml", "--set", "name=twice").code == 0
    assert result_of(tmp_path / "runs" / "twice")["scores"] == result_of(run)["scores"]


def test_classification(softprompt, method, tmp_path, tiny_encoder):
    path = reading_recipe("single", tmp_path, tiny_encoder, method=METHODS[method][0])
    assert softprompt("train", path).code == 0
    run = tmp_path / "runs" / "single"
    assert softprompt("evaluate", run).code == 0
    evaluated = json.loads((run / "evaluation-test.json").read_text(encoding="utf-8"))
    assert evaluated["scores"] == result_of(run)["scores"]
    record = json.loads((tmp_path / "single-test.txt").read_text(encoding="utf-8").splitlines()[0])
    result = softprompt("predict", run, record["text"])
    assert result.code == 0
    assert result.out == f"{outputs_of(run / 'outputs.jsonl')[0]}\n"


def test_a_learning_rate_for_tuned_tensors_is_refused(softprompt, method, tmp_path, tiny_folder):
    path = recipe_of(tmp_path, tiny_folder, method=METHODS[method][0])
    result = softprompt("train", path, "--set", "training.backbone_learning_rate=0.1")
    assert result.code == 2
    assert (
        "training.backbone_learning_rate: got a rate where no tensor of the backbone is trained" in result.err
    )
