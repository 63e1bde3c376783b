"""softprompt look: pictures of what the prompts of runs do, from the command line."""

import json

import pytest

import softprompt as package
from softprompt.cli.app import main
from softprompt.studies import looking
from support.pictures import picture_recipe
from support.tiny_vision import PROCESSOR, tiny_vision_model


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("look") / "tiny-vit"
    tiny_vision_model("vit").save_pretrained(folder)
    settings = {"image_processor_type": "ViTImageProcessor", **PROCESSOR}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def train(folder, model, **changes):
    """A run of a few steps."""
    with pytest.raises(SystemExit) as ended:
        main(["train", str(picture_recipe(folder, model, **changes))])
    assert ended.value.code == 0
    return folder / "runs" / changes.get("name", "pictures")


@pytest.fixture(scope="module")
def runs(tmp_path_factory, vit):
    folder = tmp_path_factory.mktemp("runs")
    shallow = {"name": "visual_prompt_tuning", "length": 3, "depth": "shallow"}
    return [train(folder, vit), train(folder, vit, name="shallow", method=shallow)]


def test_runs_side_by_side(runs, vit, softprompt, tmp_path):
    result = softprompt("look", *runs, "--output", tmp_path / "look", "--pictures", 4)
    assert result.code == 0, result.err
    for name in ("attention.png", "features.png"):
        content = (tmp_path / "look" / name).read_bytes()
        assert content.startswith(b"\x89PNG") and len(content) < 200_000
    facts = json.loads((tmp_path / "look" / "look.json").read_text(encoding="utf-8"))
    assert [one["name"] for one in facts["views"]] == ["no prompt", "pictures", "shallow"]
    assert facts["pictures"] == 9
    # One of each class first, then the first class again.
    assert facts["shown"] == [f"test/{name}.png" for name in ("blue/200", "green/200", "red/200", "blue/201")]
    bare, *prompted = facts["views"]
    assert bare["attention_on_prompt"] == 0 and all(0 < x["attention_on_prompt"] < 100 for x in prompted)
    assert "no prompt: " in result.out and f"{prompted[0]['neighbours_alike']:.1f}%" in result.out


def test_the_numbers_are_those_of_the_prompt(runs, vit, softprompt):
    result = softprompt("look", runs[0], "--pictures", 9)
    assert result.code == 0, result.err
    facts = json.loads((runs[0] / "look" / "look.json").read_text(encoding="utf-8"))
    backbone = package.load_backbone(vit, device="cpu")
    prompt = package.load_prompt(runs[0] / "prompt", backbone)
    from PIL import Image

    files = [runs[0].parents[1] / source for source in facts["shown"]]
    from torch import stack

    pixels = stack([backbone.pixels.pixels(Image.open(file).convert("RGB")) for file in files])
    view = looking.view_pictures(backbone, prompt, "", pixels, shown=9)
    alike = looking.neighbours_alike(view.features, [file.parent.name for file in files])
    assert facts["views"][1]["neighbours_alike"] == pytest.approx(alike, abs=0.01)
    assert facts["views"][1]["attention_on_prompt"] == pytest.approx(
        100 * float(view.on_prompt.mean()), abs=0.01
    )


def test_what_cannot_be_looked_at_is_refused(runs, vit, softprompt, tmp_path, trained_text):
    for arguments, message in [
        ([*runs], "--output: got no folder for the pages of several runs"),
        ([runs[0], runs[0], "--output", tmp_path], "two runs of the same name"),
        ([runs[0], "--per-class", 1], "more than 5"),
        ([runs[0], "--layer", 7], "-3 to 2"),
        ([trained_text], "task 'generation'"),
        ([tmp_path], "settings.yaml"),
    ]:
        result = softprompt("look", *arguments)
        assert result.code != 0 and message in result.err, (arguments, result.err)
    small = {"name": str(vit), "device": "cpu", "image_size": 24}
    other = train(tmp_path, vit, name="small", backbone=small)
    result = softprompt("look", runs[0], other, "--output", tmp_path / "look")
    assert result.code != 0 and "different backbone settings" in result.err


@pytest.fixture
def trained_text(request):
    return request.getfixturevalue("trained") / "runs" / "small"


def test_without_a_class_token_features_are_drawn_alone(softprompt, tmp_path):
    folder = tmp_path / "tiny-siglip"
    tiny_vision_model("siglip").save_pretrained(folder)
    settings = {"image_processor_type": "ViTImageProcessor", **PROCESSOR}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    run = train(tmp_path, folder)
    result = softprompt("look", run)
    assert result.code == 0 and "no class token" in result.out, result.err
    assert {file.name for file in (run / "look").iterdir()} == {"features.png", "look.json"}
