import json

import pytest

from softprompt.cli.places import locate
from softprompt.cli.records import records_of
from softprompt.config import parse_run
from softprompt.errors import ConfigError, PromptError
from support.tasks import KINDS


def outputs(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_run_folder_scores_as_its_training_did(softprompt, trained, tmp_path):
    run = trained / "runs" / "small"
    result = softprompt("evaluate", run, "--output", tmp_path)
    assert result.code == 0
    assert "small: test, 2 records" in result.out
    facts = json.loads((tmp_path / "evaluation-test.json").read_text(encoding="utf-8"))
    trained_facts = json.loads((run / "result.json").read_text(encoding="utf-8"))
    assert facts["scores"][0]["group"] == "all"
    assert facts["scores"][0]["values"] == pytest.approx(trained_facts["scores"][0]["values"])
    assert (facts["system"], facts["split"], facts["records"]) == ("prompt", "test", 2)
    rows = outputs(tmp_path / "outputs-test.jsonl")
    assert [row["output"] for row in rows] == [row["output"] for row in outputs(run / "outputs.jsonl")]
    assert rows[0]["references"] == ["Mill 6 is in the centre."]


def test_results_go_into_the_run_folder_and_baselines_keep_their_own(softprompt, trained):
    run = trained / "runs" / "small"
    assert softprompt("evaluate", run, "--limit", 1).code == 0
    assert softprompt("evaluate", run, "--limit", 1, "--no-prompt").code == 0
    assert softprompt("evaluate", run, "--limit", 1, "--demonstrations", 2).code == 0
    for name in ("test", "test-no-prompt", "test-demonstrations-2"):
        facts = json.loads((run / f"evaluation-{name}.json").read_text(encoding="utf-8"))
        assert facts["records"] == 1
        assert len(outputs(run / f"outputs-{name}.jsonl")) == 1


def test_a_limit_takes_records_from_the_whole_set():
    settings = parse_run({"data": {"format": "restaurants"}, "training": {"steps": 1}})
    everything, some = (records_of(settings, "test", limit)[0] for limit in (None, 4))
    n = len(everything)
    assert some == [everything[0], everything[n // 4], everything[n // 2], everything[3 * n // 4]]
    assert records_of(settings, "test", n + 1)[0] == everything


def test_a_prompt_folder_with_a_recipe_is_the_same_as_its_run(softprompt, trained, tmp_path):
    run = trained / "runs" / "small"
    folders = tmp_path / "a", tmp_path / "b"
    assert softprompt("evaluate", run, "--output", folders[0]).code == 0
    recipe = trained / "recipe.yaml"
    assert softprompt("evaluate", run / "prompt", "--recipe", recipe, "--output", folders[1]).code == 0
    texts = [(folder / "outputs-test.jsonl").read_text(encoding="utf-8") for folder in folders]
    assert texts[0] == texts[1]


def test_demonstrations_equal_the_examples_written_in_front_of_each_source(
    softprompt, trained, tiny_folder, tmp_path
):
    import torch

    from softprompt.backbones.load import load_backbone
    from softprompt.config import load_run
    from softprompt.data import load
    from softprompt.tasks.language.generation import GenerationTask

    recipe = trained / "recipe.yaml"
    result = softprompt("evaluate", "--recipe", recipe, "--demonstrations", 2, "--output", tmp_path)
    assert result.code == 0
    settings = load_run(recipe)
    backbone = load_backbone(tiny_folder, device="cpu")
    task = GenerationTask(backbone, settings.task, decoding=settings.decoding)
    splits = load(settings.data)
    before = [token for ids in task.demonstrations(splits.train, 2, 0) for token in ids]
    expected = []
    for record in splits.test:
        ids = before + [*backbone.token_ids(record.source), 1]
        written = backbone.model.generate(
            torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), max_new_tokens=6, do_sample=False,
            suppress_tokens=task._banned, eos_token_id=2, pad_token_id=0,
        )  # fmt: skip
        text = backbone.tokenizer.decode(written[0, len(ids) :].tolist(), skip_special_tokens=True)
        expected.append(str(text).strip())
    assert [row["output"] for row in outputs(tmp_path / "outputs-test-demonstrations-2.jsonl")] == expected


def test_decoding_can_be_changed_and_the_past_cannot(softprompt, trained, tmp_path):
    run = trained / "runs" / "small"
    change = ("--set", "decoding.max_new_tokens=2", "--output", tmp_path)
    assert softprompt("evaluate", run, *change).code == 0
    facts = json.loads((tmp_path / "evaluation-test.json").read_text(encoding="utf-8"))
    assert facts["decoding"]["max_new_tokens"] == 2
    result = softprompt("evaluate", run, "--set", "method.length=3")
    assert result.code == 2
    assert (
        "--set: got method.length, expected a setting of decoding, data, metrics, task or backbone."
        in result.err
    )


def test_seen_and_unseen_rows_where_the_records_say_so(softprompt, trained, tmp_path, monkeypatch):
    from dataclasses import replace

    import softprompt.data as data

    load = data.load

    def tagged(settings):
        splits = load(settings)
        test = [
            replace(record, tags={"seen": tag})
            for record, tag in zip(splits.test, ("seen", "unseen"), strict=True)
        ]
        return replace(splits, test=test)

    monkeypatch.setattr(data, "load", tagged)
    result = softprompt("evaluate", trained / "runs" / "small", "--output", tmp_path)
    assert result.code == 0
    groups = [word for word in result.out.split() if word in ("seen", "unseen", "all")]
    assert groups == ["seen", "unseen", "all"]


def test_a_split_without_records_is_refused(softprompt, trained):
    result = softprompt("evaluate", trained / "runs" / "small", "--split", "dev")
    assert result.code == 2
    assert "data.dev: got no records, expected records to score. Name a file in data.dev" in result.err
    assert "--set data.dev=FILE; or score the test set: --split test" in result.err


def test_positions_are_checked_before_anything_is_written(softprompt, trained):
    result = softprompt("evaluate", trained / "runs" / "small", "--set", "decoding.max_new_tokens=250")
    assert result.code == 2
    assert "expected at most 256 positions" in result.err


def test_no_prompt_and_demonstrations_exclude_each_other(softprompt, trained):
    result = softprompt("evaluate", trained / "runs" / "small", "--no-prompt", "--demonstrations", 2)
    assert (result.code, "one of the two" in result.err) == (2, True)


def test_demonstrations_need_a_decoder(softprompt, tmp_path, trained):
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    from support.tokenizer import byte_level

    torch.manual_seed(0)
    tokenizer = byte_level(ends=True)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=4,
        decoder_start_token_id=0, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(tmp_path / "t5")
    tokenizer.save_pretrained(tmp_path / "t5")
    result = softprompt(
        "evaluate", "--recipe", trained / "recipe.yaml", "--set", f"backbone.name={tmp_path / 't5'}",
        "--demonstrations", 1, "--output", tmp_path,
    )  # fmt: skip
    assert result.code == 2
    assert "an encoder-decoder, expected a decoder" in result.err


def test_what_is_measured_must_be_clear(trained, tmp_path):
    run, recipe = trained / "runs" / "small", trained / "recipe.yaml"
    with pytest.raises(ConfigError, match=r"evaluate: got nothing, expected a run folder, or --recipe"):
        locate(None, None, [], needs_prompt=True)
    with pytest.raises(
        ConfigError, match=r"evaluate: got a recipe and nothing to measure, expected a prompt folder"
    ):
        locate(None, recipe, [], needs_prompt=True)
    with pytest.raises(ConfigError, match=r"got a prompt folder alone.*Add --recipe"):
        locate(run / "prompt", None, [], needs_prompt=True)
    with pytest.raises(ConfigError, match=r"--recipe: got .*expected no recipe beside"):
        locate(run, recipe, [], needs_prompt=True)
    with pytest.raises(ConfigError, match=r"got a prompt folder for a measurement without a prompt"):
        locate(run / "prompt", recipe, [], needs_prompt=False)
    with pytest.raises(PromptError, match=r"got no such folder, expected a run folder or a prompt folder"):
        locate(tmp_path / "none", recipe, [], needs_prompt=True)
    with pytest.raises(PromptError, match=r"got neither settings\.yaml nor prompt\.json in it"):
        locate(tmp_path, recipe, [], needs_prompt=True)
    assert locate(None, recipe, [], needs_prompt=False).output == trained / "runs" / "small-evaluation"


def test_a_run_that_did_not_finish_has_no_prompt(trained, tmp_path):
    settings = (trained / "runs" / "small" / "settings.yaml").read_text(encoding="utf-8")
    (tmp_path / "settings.yaml").write_text(settings, encoding="utf-8")
    with pytest.raises(
        PromptError, match=r"got a run without a prompt, expected .*softprompt train RECIPE --resume"
    ):
        locate(tmp_path, None, [], needs_prompt=True)
    assert locate(tmp_path, None, [], needs_prompt=False).prompt is None


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_run_with_a_head_scores_as_its_training_did(softprompt, readers, tmp_path, kind):
    run = readers / "runs" / kind
    assert softprompt("evaluate", run, "--output", tmp_path).code == 0
    facts = json.loads((tmp_path / "evaluation-test.json").read_text(encoding="utf-8"))
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    assert [row["group"] for row in facts["scores"]] == [row["group"] for row in result["scores"]]
    for ours, theirs in zip(facts["scores"], result["scores"], strict=True):
        assert ours["values"] == pytest.approx(theirs["values"], abs=1e-4)
    assert len(outputs(tmp_path / "outputs-test.jsonl")) == facts["records"] == 6
    # The recipe beside the prompt folder does the same.
    again = softprompt(
        "evaluate", run / "prompt", "--recipe", readers / f"{kind}.yaml", "--output", tmp_path / "2"
    )
    assert again.code == 0
    repeated = json.loads((tmp_path / "2" / "evaluation-test.json").read_text(encoding="utf-8"))
    assert repeated["scores"] == facts["scores"]


@pytest.mark.parametrize("option", [["--no-prompt"], ["--demonstrations", "2"]])
def test_without_its_head_nothing_can_be_measured(softprompt, readers, option):
    run = readers / "runs" / "pair"
    result = softprompt("evaluate", run, *option)
    assert result.code == 2
    assert "task 'classification', whose answer a trained head gives" in result.err
    assert "Train the baseline instead: --set method.name=head_only" in result.err
    assert not list(run.glob("evaluation-*"))


def test_a_head_for_another_task_or_other_labels_is_refused(
    softprompt, readers, trained, tiny_folder, tmp_path
):
    from softprompt.backbones.load import load_backbone
    from softprompt.prompts.heads import head
    from softprompt.prompts.methods import head_only

    def refused(folder, recipe, *more):
        result = softprompt("evaluate", folder, "--recipe", recipe, "--output", tmp_path / "x", *more)
        assert result.code in (1, 2) and not (tmp_path / "x").exists()
        return result.err

    pair = readers / "runs" / "pair" / "prompt"
    assert "got a sequence head for ['no', 'yes'], expected a choice head" in refused(
        pair, readers / "choice.yaml"
    )
    labels = refused(pair, readers / "pair.yaml", "--set", "task.labels=['no', 'yes', maybe]")
    assert "expected a sequence head for ['no', 'yes', 'maybe']" in labels
    backbone = load_backbone(tiny_folder, device="cpu")
    head_only(backbone, head=head("value")).save(tmp_path / "p")
    plain = refused(tmp_path / "p", trained / "recipe.yaml")
    assert "task generation: got a value head, expected no head" in plain


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("maybe", "record new.txt:2: got the label 'maybe', expected one of ['no', 'yes']"),
        (None, "got no label"),
    ],
)
def test_labels_that_the_head_does_not_know_are_refused_before_predicting(
    softprompt, readers, tmp_path, label, message
):
    rows = [{"text": "the mill", "second": "food", "label": each} for each in ("no", label)]
    change = ["--set", f"data.test={tmp_path / 'new.txt'}", "--output", str(tmp_path / "out")]
    if label is None:
        change += ["--set", "data.label=null", "--set", "data.train=null", "--set", "data.dev=null"]
    (tmp_path / "new.txt").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    result = softprompt("evaluate", readers / "runs" / "pair", *change)
    assert (result.code, message in result.err) == (1, True)
    assert not (tmp_path / "out").exists()


def multirc(path, sizes):
    """Passages with one question each, of so many answers."""
    rows = [
        {"passage": {"text": f"passage {p}", "questions": [
            {"question": "q", "answers": [{"text": f"a{a}", "label": a % 2} for a in range(n)]}
        ]}}
        for p, n in enumerate(sizes)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_a_limit_takes_whole_questions_where_they_are_scored_together(tmp_path):
    path = tmp_path / "val.jsonl"
    sizes = (3, 2, 4, 2, 3, 2)
    multirc(path, sizes)
    raw = {"data": {"format": "multirc", "test": str(path)}, "task": {"name": "classification"}}
    settings = parse_run({**raw, "training": {"steps": 1}})

    def questions(limit):
        taken = records_of(settings, "test", limit)[0]
        assert len(taken) <= limit
        found = [record.tags["question"] for record in taken]
        for name in set(found):
            assert found.count(name) == sizes[int(name.partition("/")[0]) - 1]
        return sorted(set(found))

    assert questions(16) == questions(99) == [f"{i}/1" for i in range(1, 7)]
    # Four in even steps are 3 + 2 + 2 + 3 records, three are 3 + 4 + 3.
    assert questions(10) == ["1/1", "2/1", "4/1", "5/1"]
    assert questions(9) == questions(5) == ["1/1", "4/1"]
    assert questions(4) == questions(3) == ["1/1"]
    with pytest.raises(
        ConfigError, match=r"--limit: got 2, expected at least 3, since records of one question"
    ):
        records_of(settings, "test", 2)
