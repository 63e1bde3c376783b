"""Pictures from the command line: train, resume, evaluate, predict, inspect."""

import json

import pytest

from softprompt.cli.app import main
from softprompt.tasks.headed.image_classification import ImageClassificationTask
from support.folders import assert_a_lock_alone, result_of
from support.pictures import COLOURS, encoded, picture, picture_recipe


@pytest.fixture(autouse=True)
def _no_curves():
    """These runs draw what they leave."""


@pytest.fixture(scope="session")
def pictures(tmp_path_factory, tiny_vit):
    """A folder with a recipe and, in `runs/pictures`, what training it left."""
    folder = tmp_path_factory.mktemp("pictures")
    path = picture_recipe(folder, tiny_vit)
    with pytest.raises(SystemExit) as ended:
        main(["train", str(path)])
    assert ended.value.code == 0
    return folder


def test_a_run_leaves_scores_and_a_confusion_matrix(pictures):
    run = pictures / "runs" / "pictures"
    (overall, *classes) = result_of(run)["scores"]
    assert set(overall["values"]) == {"accuracy", "top5_accuracy", "class_accuracy", "macro_f1"}
    assert overall["values"]["top5_accuracy"] == 100.0
    assert [row["group"] for row in classes] == [f"class {colour}" for colour in sorted(COLOURS)]
    facts = json.loads((run / "confusion.json").read_text(encoding="utf-8"))
    assert facts["labels"] == sorted(COLOURS) and [sum(row) for row in facts["counts"]] == [3, 3, 3]
    right = sum(facts["counts"][i][i] for i in range(3))
    assert overall["values"]["accuracy"] == pytest.approx(100 * right / 9)
    assert (run / "confusion.png").read_bytes().startswith(b"\x89PNG")
    counts = result_of(run)["counts"]
    assert counts["trained_parameters"] == 3 * 3 * 32 + 3 * 33  # layers x length x width, and the head
    lines = [json.loads(line) for line in (run / "outputs.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines[0]["id"] == "test/blue/200.png" and set(lines[0]["output"]["labels"]) == set(COLOURS)


def test_colours_are_learned(pictures, tiny_vit, tmp_path, softprompt):
    path = picture_recipe(
        tmp_path,
        tiny_vit,
        training={"steps": 60, "batch_size": 6, "learning_rate": 0.02, "select": "accuracy"},
    )
    assert softprompt("train", path).code == 0
    assert result_of(tmp_path / "runs" / "pictures")["scores"][0]["values"]["accuracy"] > 70


def test_evaluate_gives_the_runs_own_scores(pictures, softprompt):
    run = pictures / "runs" / "pictures"
    result = softprompt("evaluate", run)
    assert result.code == 0 and "class blue" in result.out
    facts = json.loads((run / "evaluation-test.json").read_text(encoding="utf-8"))
    assert facts["scores"] == result_of(run)["scores"]
    assert (run / "confusion-test.json").read_text(encoding="utf-8") == (run / "confusion.json").read_text(
        encoding="utf-8"
    )
    assert (run / "confusion-test.png").is_file()


def test_files_among_pictures_that_are_none(pictures, softprompt, tmp_path):
    """What others leave in a folder is told and left; a damaged picture keeps its place."""
    run, folder = pictures / "runs" / "pictures", tmp_path / "some"
    folder.mkdir()
    whole = (pictures / "test" / "red" / "200.png").read_bytes()
    for name in ("a.png", "c.png", "noname"):
        (folder / name).write_bytes(whole)
    alone = softprompt("predict", run, folder).out.splitlines()
    (folder / "b.png").write_bytes(whole[: len(whole) // 2])
    for junk in ("notes.txt", ".DS_Store", "Thumbs.db", "labels.csv", "data.bin"):
        (folder / junk).write_bytes(b"nothing of a picture")
    result = softprompt("predict", run, folder)
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert [lines[0], *lines[2:]] == alone and lines[1] == f"{folder / 'b.png'}\t"
    assert "3 files that are no pictures are left out: data.bin, labels.csv, notes.txt" in result.err
    assert "no answer: " in result.err and "b.png" in result.err
    out = tmp_path / "out.jsonl"
    result = softprompt("predict", run, "--input", folder, "--output", out)
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [row["image"] for row in rows] == ["a.png", "b.png", "c.png", "noname"]
    assert [row["prediction"] is None for row in rows] == [False, True, False, False]
    assert "cannot be read as a picture" in rows[1]["problem"] and "3 files that are no" in result.err
    result = softprompt("predict", run, folder / "b.png")
    assert result.code == 1 and "cannot be read as a picture" in result.err and not result.out
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "notes.txt").write_text("a", encoding="utf-8")
    result = softprompt("predict", run, tmp_path / "none")
    assert result.code == 1 and "1 file, none of them a picture" in result.err


def test_predict_takes_folders_and_tables_of_pictures(pictures, softprompt, tmp_path):
    run, folder = pictures / "runs" / "pictures", tmp_path / "some"
    folder.mkdir()
    for name in ("red", "blue"):
        (folder / f"{name}.png").write_bytes((pictures / "test" / name / "200.png").read_bytes())
    alone = softprompt("predict", run, folder / "blue.png", folder / "red.png")
    assert softprompt("predict", run, folder).out == alone.out
    labels = [line.split("\t")[1] for line in alone.out.splitlines()]
    (folder / "bad.png").write_bytes(b"no picture")
    table = tmp_path / "rows.csv"
    table.write_text("n,image\n1,some/blue.png\n2,\n3,some/bad.png\n4,some/red.png\n", encoding="utf-8")
    for given, places in ((folder, (1, 2)), (table, (0, 3))):
        out = tmp_path / "out.jsonl"
        result = softprompt("predict", run, "--input", given, "--output", out, "--overwrite")
        assert result.code == 0, result.err
        rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
        assert [rows[place]["prediction"] for place in places] == labels
        assert all(row["problem"] for i, row in enumerate(rows) if i not in places)


def test_predict_takes_files_of_pictures(pictures, softprompt, tmp_path):
    run = pictures / "runs" / "pictures"
    files = [pictures / "test" / "red" / "200.png", pictures / "test" / "blue" / "201.png"]
    result = softprompt("predict", run, *files)
    assert result.code == 0
    outputs = {
        line["id"]: line["output"]
        for line in map(json.loads, (run / "outputs.jsonl").read_text(encoding="utf-8").splitlines())
    }
    for line, file, name in zip(
        result.out.splitlines(), files, ("test/red/200.png", "test/blue/201.png"), strict=True
    ):
        path, label, share = line.split("\t")
        assert path == str(file) and label == outputs[name]["labels"][0]
        assert float(share) == pytest.approx(outputs[name]["probabilities"][0], abs=1e-3)
    (tmp_path / "text.png").write_text("no picture")
    result = softprompt("predict", run, files[0], tmp_path / "text.png", tmp_path / "none.png")
    assert result.code != 0 and "none.png" in result.err
    result = softprompt("predict", run, files[0], tmp_path / "text.png")
    assert result.code != 0 and "text.png: got a file that cannot be read as a picture" in result.err
    result = softprompt("predict", run, files[0], "--second", "x")
    assert result.code != 0 and "--second: got the option for task 'image_classification'" in result.err


def test_inspect_shows_where_the_prompt_enters(pictures, softprompt):
    result = softprompt("inspect", pictures / "runs" / "pictures")
    assert result.code == 0
    for said in ("prepend, deep", "layers 0-2", "picture, blue, green, red", "reads cls"):
        assert said in result.out


def test_bad_pictures_stop_a_run_before_it_begins(tiny_vit, tmp_path, softprompt):
    path = picture_recipe(tmp_path, tiny_vit)
    (tmp_path / "test" / "red" / "900.png").write_bytes(encoded(picture((1, 2, 3), 0))[:60])
    (tmp_path / "test" / "red" / "901.png").write_bytes(b"GIF89a")
    result = softprompt("train", path)
    assert result.code != 0
    for name in ("900", "901"):
        assert f"picture test/red/{name}.png: got a file that cannot be read" in result.err
    assert_a_lock_alone(tmp_path / "runs", "pictures")


METHODS = {
    "linear": ({"name": "head_only"}, {}),
    "mlp": ({"name": "head_only"}, {"hidden_layers": 2}),
    "bias": ({"name": "fine_tuning", "tune": "bitfit"}, {}),
    "partial": ({"name": "fine_tuning", "tune": "last:1"}, {}),
    "full": ({"name": "fine_tuning"}, {}),
    "adapter": ({"name": "adapter", "width": 8, "placement": "pfeiffer"}, {}),
    "lora": ({"name": "lora", "rank": 2, "targets": ["q_proj", "v_proj"]}, {}),
    "prefix": ({"name": "prefix_tuning", "length": 3}, {}),
    "shallow": ({"name": "visual_prompt_tuning", "length": 3, "depth": "shallow"}, {}),
    "border": ({"name": "visual_prompt_tuning", "length": 2, "location": "pixel-pad"}, {}),
    "vectors": ({"name": "visual_prompt_tuning", "location": "add"}, {"pooling": "image"}),
}


@pytest.mark.parametrize("kind", METHODS)
def test_every_comparison_runs_from_a_recipe(kind, tiny_vit, tmp_path, softprompt):
    method, task = METHODS[kind]
    path = picture_recipe(
        tmp_path, tiny_vit, method=method, task={"name": "image_classification", **task},
        training={"steps": 2, "batch_size": 6, "learning_rate": 0.001},
    )  # fmt: skip
    result = softprompt("train", path)
    assert result.code == 0, result.err
    run = tmp_path / "runs" / "pictures"
    counts, hidden, head = result_of(run)["counts"], 32, 3 * 33
    expected = {
        "linear": head,
        "mlp": head + 2 * (hidden * hidden + hidden),
        # of each of 3 layers: q, k, v and output, the feed-forward's two, two norms; patches; the last norm
        "bias": head + 3 * (4 * hidden + 48 + hidden + 2 * hidden) + hidden + hidden,
        "partial": head + 4 * (hidden * hidden + hidden) + (2 * hidden * 48 + 48 + hidden) + 3 * 2 * hidden,
        "adapter": head + 3 * (2 * hidden * 8 + 8 + hidden),
        "lora": head + 3 * 2 * (2 * hidden * 2),
        "shallow": head + 3 * hidden,
        "border": head + 3 * (36**2 - 32**2),
        "vectors": head + 3 * 17 * hidden,
    }
    if kind in expected:
        assert counts["trained_parameters"] == counts["stored_parameters"] == expected[kind]
    elif kind == "full":
        pooler = hidden * hidden + hidden  # nobody reads it
        assert counts["trained_parameters"] == result_of(run)["backbone"]["n_parameters"] - pooler + head
    else:  # the network is dropped, keys and values are kept
        assert counts["stored_parameters"] == head + 3 * 2 * 3 * hidden < counts["trained_parameters"]
    assert softprompt("evaluate", run).code == 0


def test_another_picture_size_is_the_runs_own(tiny_vit, tmp_path, softprompt):
    backbone = {"name": str(tiny_vit), "device": "cpu", "image_size": 24}
    method = {"name": "visual_prompt_tuning", "location": "add"}
    path = picture_recipe(
        tmp_path, tiny_vit, backbone=backbone, method=method, training={"steps": 2, "learning_rate": 0.01}
    )
    assert softprompt("train", path).code == 0
    run = tmp_path / "runs" / "pictures"
    assert result_of(run)["counts"]["trained_parameters"] == 3 * 10 * 32 + 3 * 33
    assert softprompt("evaluate", run).code == 0
    assert softprompt("predict", run, tmp_path / "test" / "red" / "200.png").code == 0
    assert softprompt("inspect", run, "--backbone", tiny_vit).code == 0


def test_augmented_runs_resume_exactly(tiny_vit, tmp_path, softprompt, monkeypatch):
    changes = {
        "task": {"name": "image_classification", "resize": 40, "augment": ["crop", "flip"]},
        "training": {"steps": 6, "batch_size": 5, "learning_rate": 0.02, "checkpoint_every": 2},
    }
    path = picture_recipe(tmp_path, tiny_vit, **changes)
    assert softprompt("train", path, "--output", tmp_path / "whole").code == 0
    calls = []

    def loss(self, outputs, examples):
        calls.append(outputs.requires_grad)
        if sum(calls) == 4:
            raise KeyboardInterrupt
        return plain(self, outputs, examples)

    plain = ImageClassificationTask.head_loss
    monkeypatch.setattr(ImageClassificationTask, "head_loss", loss)
    assert softprompt("train", path, "--output", tmp_path / "cut").code == 130
    monkeypatch.undo()
    result = softprompt("train", path, "--output", tmp_path / "cut", "--resume")
    assert result.code == 0 and "going on from step 3" in result.out
    runs = [tmp_path / name / "pictures" for name in ("whole", "cut")]
    whole, cut = ((run / "prompt" / "prompt.safetensors").read_bytes() for run in runs)
    assert whole == cut
    scores = [result_of(run)["scores"] for run in runs]
    assert scores[0] == scores[1]
