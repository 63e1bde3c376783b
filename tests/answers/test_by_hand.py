"""Answers in Python equal those that plain transformers gives, one text at a time, in every task."""

import copy
import math
import pickle
import threading
from typing import Any

import pandas
import pytest
import torch
from PIL import Image
from transformers import ViTImageProcessor

import softprompt
from softprompt.answers import LabelAnswer, SpanAnswer, TagsAnswer, word_places
from softprompt.backbones.load import load_backbone
from softprompt.config import TaggingSettings
from softprompt.data import Choices, LabelledText, Record, TaggedWords
from softprompt.errors import ConfigError, DataError, PromptError, SoftpromptError
from softprompt.tasks import build_task
from support.blanks import WORDS, blank_backbone
from support.prompts import bare_prompt, disturb
from support.questions import reader
from support.tiny import worded_llama
from support.tiny_vision import PROCESSOR, tiny_vision
from support.tokenizer import byte_level

TEXTS = ["the mill", "blue food is in the city", "is it", "a very long text of the blue mill", "food"]
LABELS = ("yes", "no", "maybe")


@pytest.fixture(scope="module")
def bert():
    return reader("bert")


def with_head(backbone, kind, labels=(), **options):
    """A prompt of a head alone, with weights that tell labels apart."""
    prompt = softprompt.head_only(backbone, head=softprompt.head(kind, labels, **options))
    with torch.no_grad():
        prompt.head.weight.mul_(25)
    return prompt.eval()


@torch.no_grad()
def outputs(backbone, prompt, *texts) -> tuple[Any, torch.Tensor]:
    """The encoded texts, and the head's outputs at every token, by plain transformers."""
    encoded = backbone.tokenizer(*texts, return_tensors="pt", return_offsets_mapping=True)
    offsets = encoded.pop("offset_mapping")[0].tolist()
    states = backbone.model(**encoded).last_hidden_state[0]
    return (encoded, offsets), states @ prompt.head.weight.T + prompt.head.bias


def test_labels(bert):
    prompt = with_head(bert, "sequence", LABELS)
    answers = prompt.predict(TEXTS, task={"name": "classification"})
    for text, answer in zip(TEXTS, answers, strict=True):
        shares = outputs(bert, prompt, text)[1][0].softmax(-1)
        assert isinstance(answer, LabelAnswer) and answer.label == LABELS[int(shares.argmax())]
        assert list(answer.probabilities) == list(LABELS)
        assert list(answer.probabilities.values()) == pytest.approx(shares.tolist(), abs=1e-5)
        assert answer.probability == max(answer.probabilities.values())
    assert len({answer.probability for answer in answers}) == len(TEXTS)


def test_pairs(bert):
    prompt = with_head(bert, "sequence", LABELS)
    pairs = list(zip(TEXTS, TEXTS[::-1], strict=True))
    answers = prompt.predict(pairs, task={"name": "classification"})
    named = prompt.predict([{"text": a, "second": b} for a, b in pairs], task={"name": "classification"})
    assert named == answers
    for pair, answer in zip(pairs, answers, strict=True):
        shares = outputs(bert, prompt, *pair)[1][0].softmax(-1)
        assert list(answer.probabilities.values()) == pytest.approx(shares.tolist(), abs=1e-5)


def test_further_keys_are_left_as_further_columns_are(bert):
    prompt = with_head(bert, "sequence", LABELS)
    task = {"name": "classification"}
    rows = [{"id": 7, "text": text, "label": "yes", "date": None} for text in TEXTS]
    assert prompt.predict(rows, task=task) == prompt.predict(TEXTS, task=task)
    # by the usual name of a column, as in a file
    rows = [{"id": 7, "sentence": text, "label": "yes"} for text in TEXTS]
    assert prompt.predict(rows, task=task) == prompt.predict(TEXTS, task=task)
    choosing = with_head(bert, "choice")
    asked = {"n": 1, "text": "the mill", "choice1": "is blue", "choice2": "is it"}
    assert choosing.predict(asked) == choosing.predict([("the mill", ["is blue", "is it"])])


def test_numbers(bert):
    prompt = with_head(bert, "value")
    answers = prompt.predict(TEXTS)  # the head alone says that the task is regression
    for text, answer in zip(TEXTS, answers, strict=True):
        assert answer.number == pytest.approx(float(outputs(bert, prompt, text)[1][0, 0]), abs=1e-4)


def test_choices(bert):
    prompt = with_head(bert, "choice")
    asked = [("the mill", ["is blue", "is in the city"]), ("food", ["is in", "the", "blue"])]
    for (text, choices), answer in zip(asked, prompt.predict(asked), strict=True):
        scores = torch.stack([outputs(bert, prompt, text, choice)[1][0, 0] for choice in choices])
        assert answer.index == int(scores.argmax()) and answer.label == choices[answer.index]
        shares = scores.softmax(-1).tolist()
        assert list(answer.probabilities.values()) == pytest.approx(shares, abs=1e-5)


def test_tags(bert):
    labels = ("O", "B-x", "I-x")
    prompt = with_head(bert, "token", labels)
    texts = ["the  blue mills ", "cities in\tthe food"]
    for text, answer in zip(texts, prompt.predict(texts), strict=True):
        (_, offsets), scores = outputs(bert, prompt, text)
        words = [(text.index(word, 0), word) for word in text.split()]
        assert isinstance(answer, TagsAnswer) and [word.word for word in answer.words] == text.split()
        for (start, word), given in zip(words, answer.words, strict=True):
            assert (given.start, given.end) == (start, start + len(word)) and text[start:].startswith(word)
            first = next(i for i, (a, b) in enumerate(offsets) if a == start and b > a)
            shares = scores[first].softmax(-1)
            assert given.tag == labels[int(shares.argmax())]
            assert given.probability == pytest.approx(float(shares.max()), abs=1e-5)
    listed = prompt.predict([text.split() for text in texts])
    assert [[w.tag for w in a.words] for a in listed] == [
        [w.tag for w in a.words] for a in prompt.predict(texts)
    ]
    assert [(w.start, w.end) for w in listed[0].words] == [(0, 3), (4, 8), (9, 14)]


def test_entities_are_stretches_of_the_text(bert):
    from softprompt.answers.kinds import TaggedWord
    from softprompt.answers.making import entities_of

    text, tags = "Mr John  Smith of New York", ["O", "B-PER", "I-PER", "O", "I-LOC", "I-LOC"]
    places = word_places(text, "text")
    words = [TaggedWord(text[a:b], tag, a, b) for (a, b), tag in zip(places, tags, strict=True)]
    found = entities_of(words, text)
    assert [(one.kind, one.text) for one in found] == [("PER", "John  Smith"), ("LOC", "New York")]
    assert all(text[one.start : one.end] == one.text for one in found)


def best_span(scores, offsets, first, last, unanswerable, longest=30):
    """Every stretch of the context by hand: the best, its share, and "no answer" at [CLS]."""
    sums = {
        (offsets[i][0], offsets[j][1]): float(scores[i, 0] + scores[j, 1])
        for i in range(first, last)
        for j in range(i, min(last, i + longest))
    }
    everything = {**sums, **({None: float(scores[0].sum())} if unanswerable else {})}
    place = max(sums, key=lambda one: sums[one])
    place = None if unanswerable and everything[None] > sums[place] else place
    total = sum(math.exp(value) for value in everything.values())
    return place, math.exp(everything[place]) / total


@pytest.mark.parametrize("unanswerable", [True, False])
def test_spans(bert, unanswerable):
    prompt = with_head(bert, "span")
    task = {"name": "spans", "unanswerable": unanswerable}
    asked = [
        ("is it", "the mill is in the blue city"), ("no", "the city"),
        ("who is", "food is in the mill of the city"), ("in", "blue food  is blue"),
    ]  # fmt: skip
    found = []
    for (question, context), answer in zip(asked, prompt.predict(asked, task=task), strict=True):
        (encoded, offsets), scores = outputs(bert, prompt, question, context)
        kinds = encoded["token_type_ids"][0].tolist()
        first = kinds.index(1)
        place, share = best_span(scores, offsets, first, len(kinds) - 1, unanswerable)
        assert isinstance(answer, SpanAnswer)
        assert answer.probability == pytest.approx(share, rel=1e-3)
        assert (answer.start, answer.end) == (place or (None, None))
        assert answer.text == ("" if place is None else context[slice(*place)])
        found.append(place)
    assert any(place is not None for place in found)


def test_spans_in_windows_count_a_stretch_once(bert):
    prompt = with_head(bert, "span")
    context = "the mill is in the blue city of food is in the mill"
    whole = prompt.predict([("is", context)], task={"name": "spans", "max_tokens": 60, "stride": 8})[0]
    (windows,) = prompt.predict([("is", context)], task={"name": "spans", "max_tokens": 12, "stride": 4})
    assert 0 < windows.probability <= 1 and 0 < whole.probability <= 1
    assert windows.text == ("" if windows.start is None else context[windows.start : windows.end])


CONTEXTS = [
    "the mill\r\nis  in\r\nthe city",
    "food\u00a0is\u3000blue",
    "\U0001f600\U0001f600 mill in \U0001f1eb\U0001f1f7 city",
    "caf\u00e9 food \u0628\u0644\u062f city",
    "  mill  ",
]


@pytest.mark.parametrize("context", CONTEXTS)
def test_spans_are_the_contexts_own_characters(bert, context):
    prompt = with_head(bert, "span")
    asked = [(question, context) for question in ("is", "food in the city", "blue", "mill of x")]
    answers = prompt.predict(asked, task={"name": "spans", "unanswerable": False})
    placed = [answer for answer in answers if answer.start is not None]
    # A line break is a token of this tokenizer, and alone no answer.
    assert placed if "\n" in context else len(placed) == len(asked)
    for answer in placed:
        assert context[answer.start : answer.end] == answer.text == answer.text.strip()


def test_a_card_from_elsewhere_names_no_file_for_answers(tmp_path):
    backbone = blank_backbone("bert")
    prompt = bare_prompt(backbone).describe(task={"name": "probing", "vocabulary": "../../secret.txt"})
    prompt.save(tmp_path / "p")
    with pytest.raises(ConfigError, match=r"outside of the data folder"):
        softprompt.load_prompt(tmp_path / "p", backbone).predict(["France"])


@torch.no_grad()
def at_blank(backbone, text) -> torch.Tensor:
    """Log-probabilities of a masked model's words at its blank."""
    encoded = backbone.tokenizer(text, return_tensors="pt")
    place = encoded["input_ids"][0].tolist().index(backbone.tokenizer.mask_token_id)
    return backbone.model(**encoded).logits[0, place].log_softmax(-1)


def test_words_of_labels():
    backbone = blank_backbone("bert")
    tokenizer: Any = backbone.tokenizer
    prompt = bare_prompt(backbone)
    task = {"name": "cloze", "template": "{text} It was [blank] in Paris.", "verbalizer": WORDS}
    texts = ["it is a good film, great", "bad film", "a man reads quietly"]
    for text, answer in zip(texts, prompt.predict(texts, task=task, backbone=backbone), strict=True):
        row = at_blank(backbone, f"{text} It was {tokenizer.mask_token} in Paris.")
        score = {
            label: sum(float(row[tokenizer.convert_tokens_to_ids(word)]) for word in words) / len(words)
            for label, words in (("bad", ["terrible"]), ("good", ["great", "film"]))
        }
        shares = torch.tensor(list(score.values())).softmax(-1).tolist()
        assert answer.label == max(score, key=lambda one: score[one])
        assert list(answer.probabilities.values()) == pytest.approx(shares, abs=1e-5)


def test_words_of_facts():
    backbone = blank_backbone("bert")
    tokenizer: Any = backbone.tokenizer
    task = {"name": "probing", "template": "{subject} is [blank]"}
    subjects = ["France", "a man"]
    answers = bare_prompt(backbone).predict(subjects, task=task, backbone=backbone)
    for subject, answer in zip(subjects, answers, strict=True):
        best = at_blank(backbone, f"{subject} is {tokenizer.mask_token}").exp().topk(10)
        assert list(answer.words) == [tokenizer.decode([i]).strip() for i in best.indices.tolist()]
        assert list(answer.probabilities) == pytest.approx(best.values.tolist(), rel=1e-3)


SOURCES = ["name : Mill", "food : Chinese | area : city", "x", "name : Café Zürich | eatType : pub"]
FORM = {"name": "generation", "separator": " ->", "chat": False, "bos": False}
GREEDY = {"strategy": "greedy", "max_new_tokens": 8}


@pytest.fixture(scope="module")
def writer():
    tokenizer = byte_level()
    backbone = load_backbone(worded_llama(tokenizer), tokenizer)
    prompt = softprompt.prompt_tuning(backbone, 3, initialization="random").eval()
    return backbone, disturb(prompt)


@torch.no_grad()
def written(backbone, prompt, source):
    """A text by plain transformers, from the vectors of the prompt and the embeddings of the source."""
    parts = [backbone.tokenizer(part, add_special_tokens=False)["input_ids"] for part in (source, " ->")]
    ids = torch.tensor([parts[0] + parts[1]])
    (vectors,) = prompt.tensors().values()
    embedded = torch.cat([vectors[None], backbone.model.get_input_embeddings()(ids)], dim=1)
    mask = torch.ones(embedded.shape[:2], dtype=torch.long)
    out = backbone.model.generate(
        inputs_embeds=embedded, attention_mask=mask, do_sample=False, max_new_tokens=8, eos_token_id=2,
        pad_token_id=0,
    )  # fmt: skip
    row = out[0].tolist()
    row = row[: row.index(2)] if 2 in row else row
    return backbone.tokenizer.decode(
        row, skip_special_tokens=True, clean_up_tokenization_spaces=False
    ).strip()


def test_texts(writer):
    backbone, prompt = writer
    answers = prompt.generate(SOURCES, task=FORM, decoding=GREEDY)
    assert answers == [written(backbone, prompt, source) for source in SOURCES]
    assert len(set(answers)) > 1
    assert prompt.generate(SOURCES[1], task=FORM, decoding=GREEDY) == answers[1:2]


@pytest.mark.parametrize("strategy", ["greedy", "beam", "sample"])
def test_a_text_has_the_same_answer_beside_any_others(writer, strategy):
    _, prompt = writer
    decoding = {"strategy": strategy, "max_new_tokens": 6}
    together = prompt.generate(SOURCES, task=FORM, decoding={**decoding, "batch_size": 4})
    alone = [prompt.generate([one], task=FORM, decoding=decoding)[0] for one in SOURCES]
    turned = prompt.generate(SOURCES[::-1], task=FORM, decoding={**decoding, "batch_size": 3})[::-1]
    assert together == alone == turned
    if strategy == "sample":
        other = prompt.generate(SOURCES, task=FORM, decoding=decoding, seed=1)
        assert other != together and other == prompt.generate(SOURCES, task=FORM, decoding=decoding, seed=1)


def test_pictures(tmp_path):
    backbone = tiny_vision("vit")
    prompt = with_head(backbone, "picture", LABELS, pooling="cls")
    files = []
    for i, colour in enumerate([(200, 20, 20), (20, 200, 20), (90, 90, 250)]):
        Image.new("RGB", (40 + i, 30), colour).save(tmp_path / f"{i}.png")
        files.append(tmp_path / f"{i}.png")
    processor = ViTImageProcessor(**PROCESSOR)
    for file, answer in zip(files, prompt.predict(files), strict=True):
        pixels = processor(Image.open(file), return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            state = backbone.model(pixels).last_hidden_state[0, 0]
        shares = (state @ prompt.head.weight.T + prompt.head.bias).softmax(-1)
        assert answer.label == LABELS[int(shares.argmax())]
        assert list(answer.probabilities.values()) == pytest.approx(shares.tolist(), abs=1e-4)


def test_rows_of_a_batch_are_rows_alone(bert):
    prompt = softprompt.p_tuning_v2(bert, 4, head=softprompt.head("sequence", LABELS)).eval()
    disturb(prompt, scale=1.0)
    together = prompt.predict(TEXTS, task={"name": "classification"}, batch_size=5)
    alone = [prompt.predict([one], task={"name": "classification"})[0] for one in TEXTS]
    for one, other in zip(together, alone, strict=True):
        assert one.label == other.label
        assert list(one.probabilities.values()) == pytest.approx(list(other.probabilities.values()), abs=1e-6)


def test_several_prompts_answer_at_once(bert):
    task = {"name": "classification"}
    prompts = []
    for seed in range(3):
        head = softprompt.head("sequence", LABELS)
        prompts.append(disturb(softprompt.p_tuning_v2(bert, 3 + seed, head=head), seed, 1.0).eval())
    wanted = [prompt.predict(TEXTS, task=task) for prompt in prompts]
    assert wanted[0] != wanted[1] != wanted[2]
    wrong: list[Any] = []

    def ask(i: int) -> None:
        for _ in range(8):
            try:
                if prompts[i].predict(TEXTS, task=task) != wanted[i]:
                    wrong.append(i)
            except BaseException as error:
                wrong.append(error)

    threads = [threading.Thread(target=ask, args=(i % 3,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_prompt_in_training_mode_answers_as_in_evaluation(bert):
    prompt = softprompt.p_tuning_v2(bert, 4, head=softprompt.head("sequence", LABELS, dropout=0.5))
    task = {"name": "classification"}
    wanted = prompt.eval().predict(TEXTS, task=task)
    assert prompt.train().predict(TEXTS, task=task) == wanted and prompt.training


def test_a_prompt_remembers_its_backbone_and_takes_it_nowhere(bert, tmp_path):
    prompt = with_head(bert, "value")
    assert copy.deepcopy(prompt).origin.backbone is bert and prompt.bake().origin.backbone is bert
    sent = pickle.loads(pickle.dumps(prompt))
    with pytest.raises(PromptError, match=r"does not know its backbone.*backbone="):
        sent.predict(TEXTS)
    prompt.save(tmp_path / "p")
    loaded = softprompt.load_prompt(tmp_path / "p", bert)
    assert loaded.predict(TEXTS) == prompt.predict(TEXTS)
    assert sent.predict(TEXTS, backbone=bert) == prompt.predict(TEXTS)


def test_scores_are_those_of_the_answers(bert):
    prompt = with_head(bert, "sequence", LABELS)
    task = {"name": "classification"}
    said = [answer.label for answer in prompt.predict(TEXTS, task=task)]
    right = [said[0], said[1], said[2], *("no" if label != "no" else "yes" for label in said[3:])]
    records = [LabelledText(str(i), t, label) for i, (t, label) in enumerate(zip(TEXTS, right, strict=True))]
    row, *classes = prompt.score(records, ["accuracy"], task=task)
    assert [one["group"] for one in classes] == [f"class {label}" for label in LABELS if label in right]
    assert row["group"] == "all" and row["values"]["accuracy"] == pytest.approx(60.0)


def test_scores_of_what_predict_takes(bert):
    """Mappings, and inputs with targets, have the scores of the records that they say."""
    task = {"name": "classification"}
    prompt = with_head(bert, "sequence", LABELS)
    right = ["yes", "no", "maybe", "yes", "no"]
    both = list(zip(TEXTS, TEXTS[::-1], right, strict=True))
    records = [LabelledText(str(i), a, label, b) for i, (a, b, label) in enumerate(both, start=1)]
    rows = [{"id": 3, "text": a, "second": b, "label": label} for a, b, label in both]
    wanted = prompt.score(records, ["accuracy"], task=task)
    said = [answer.label for answer in prompt.predict(rows, task=task)]
    hits = sum(a == b for a, b in zip(said, right, strict=True))
    assert wanted[0]["values"]["accuracy"] == pytest.approx(100 * hits / 5) and 0 < hits < 5
    assert prompt.score(rows, ["accuracy"], task=task) == wanted
    pairs = [(a, b) for a, b, _ in both]
    assert prompt.score(pairs, ["accuracy"], targets=pandas.Series(right), task=task) == wanted
    numbers = with_head(bert, "value")
    off = [answer.number + 0.5 for answer in numbers.predict(TEXTS)]
    (row,) = numbers.score(TEXTS, ["rmse"], targets=off)
    assert row["values"]["rmse"] == pytest.approx(0.5, abs=1e-5)
    choosing = with_head(bert, "choice")
    asked = [("the mill", ["is blue", "is it"]), ("food", ["is in", "the"])]
    place = choosing.predict(asked)[0].index
    for targets in ([place, asked[1][1][0]], [asked[0][1][place], 0]):
        second = 100.0 if choosing.predict(asked)[1].index == 0 else 50.0
        assert choosing.score(asked, ["accuracy"], targets=targets)[0]["values"]["accuracy"] == second


def test_texts_of_numbers_are_scored_as_training_read_them(bert):
    prompt = with_head(bert, "value")
    data = {"label": "price", "decimal": ",", "thousands": "."}
    prompt.describe(task={"name": "regression", "scale": None}, training={"data": data})
    said = [answer.number for answer in prompt.predict(TEXTS[:3])]
    written, meant = ["37.000", "1.250,5", "3,25"], [37000, 1250.5, 3.25]
    wanted = math.sqrt(sum((a - b) ** 2 for a, b in zip(said, meant, strict=True)) / 3)
    for key, right in (("price", written), ("label", written), ("price", meant)):
        rows = [{"text": text, key: one} for text, one in zip(TEXTS, right, strict=False)]
        assert prompt.score(rows, ["rmse"])[0]["values"]["rmse"] == pytest.approx(wanted)
    for right in (written, meant):
        (row,) = prompt.score(TEXTS[:3], ["rmse"], targets=right)
        assert row["values"]["rmse"] == pytest.approx(wanted)
    with pytest.raises(DataError, match=r"record 1: got '37.5' in 'price', expected a number as by data"):
        prompt.score([{"text": "food", "price": "37.5"}], ["rmse"])


def test_scores_of_tags_and_stretches(bert):
    tagger = with_head(bert, "token", ("B-x", "I-x", "O"))
    words = [["the", "mill", "is"], ["blue", "food"]]
    tags = [answer.output for answer in tagger.predict(words, task={"name": "tagging"})]
    assert any(tag != "O" for some in tags for tag in some)
    rows = [{"words": w, "tags": t} for w, t in zip(words, tags, strict=True)]
    for given in ({"records": rows}, {"records": words, "targets": [" ".join(t) for t in tags]}):
        row, *_ = tagger.score(metrics=["entity_f1"], task={"name": "tagging"}, **given)
        assert row["values"]["entity_f1"] == 100.0
    with pytest.raises(DataError, match=r"record 1: got 2 tags for 3 words"):
        tagger.score(words, targets=[["O", "O"], ["O", "O"]], task={"name": "tagging"})
    reading, spans = with_head(bert, "span"), {"name": "spans", "unanswerable": False}
    asked = {"question": "is it", "context": "the mill is in the blue city"}
    said = reading.predict(asked, task=spans)[0].text
    place = asked["context"].index(said)
    for right in (said, [said, "city"], {"text": [said], "answer_start": [place]}):
        rows = reading.score([{**asked, "answers": right}], ["exact_match"], task=spans)
        assert said and rows[-1]["values"]["exact_match"] == 100.0
    with pytest.raises(DataError, match=r"'Rome', which is not in the context"):
        reading.score(asked, targets=["Rome"], task=spans)


def test_scores_of_texts(writer):
    _, prompt = writer
    texts = ["name : a", "name : b"]
    said = prompt.generate(texts, task=FORM)
    rows = [{"source": text, "target": out} for text, out in zip(texts, said, strict=True)]
    wanted = prompt.score(
        [Record(str(i), r["source"], (r["target"],)) for i, r in enumerate(rows)], task=FORM
    )
    assert prompt.score(rows, task=FORM) == wanted
    assert prompt.score(texts, targets=[[out] for out in said], task=FORM) == wanted


def test_scores_without_what_is_right_are_refused(bert):
    prompt, task = with_head(bert, "sequence", LABELS), {"name": "classification"}
    refused = [
        (TEXTS, {}, r"a text as record 1.*Give it in targets="),
        ([{"text": "a"}], {}, r"record 1: got the keys 'text', expected 'label'"),
        ([LabelledText("7", "a")], {}, r"record 7: got a record without what is right"),
        (TEXTS, {"targets": ["yes"]}, r"1 targets for 5 inputs"),
        (TEXTS, {"targets": [float("nan")] * 5}, r"record 1: got nan"),
        (["a"], {"targets": ["perhaps"]}, r"prompt.score: got labels that the task does not have: 'perhaps'"),
    ]
    for records, more, said in refused:
        with pytest.raises(DataError, match=said):
            prompt.score(records, ["accuracy"], task=task, **more)


def test_labels_joined_as_in_the_data_are_several_targets(bert):
    names = ("billing", "late", "rude")
    prompt = with_head(bert, "sequence", names)
    task = {"name": "multi_label_classification", "labels": list(names)}
    prompt.describe(task=task, training={"data": {"label": "kinds", "label_separator": ";"}})
    said = [answer.labels for answer in prompt.predict(TEXTS)]
    joined = ["; ".join(labels) for labels in said]
    assert any(len(labels) > 1 for labels in said)
    assert prompt.score(TEXTS, ["subset_accuracy"], targets=joined)[0]["values"]["subset_accuracy"] == 100.0
    right = [("late", "rude")] * len(TEXTS)
    wanted = 100 * sum(set(labels) == {"late", "rude"} for labels in said) / len(TEXTS)
    for targets in (right, ["late; rude"] * len(TEXTS)):
        (row, *_) = prompt.score(TEXTS, ["subset_accuracy"], targets=targets)
        assert row["values"]["subset_accuracy"] == pytest.approx(wanted)


def test_a_prompt_is_used_for_no_other_task(bert):
    """A sigmoid for each label and a softmax over all of them are read from the same kind of head."""
    several, one = "multi_label_classification", "classification"
    for trained, other in ((several, one), (one, several)):
        prompt = with_head(bert, "sequence", LABELS)
        prompt.describe(task={"name": trained, "labels": list(LABELS)})
        for task in ({"name": other}, {"name": other, "labels": list(LABELS)}):
            with pytest.raises(
                ConfigError, match=f"task.name: got '{other}' for a prompt trained for '{trained}'"
            ):
                prompt.predict(["food"], task=task)
            with pytest.raises(ConfigError, match=f"expected '{trained}'"):
                prompt.score(["food"], targets=["yes"], task=task)
        assert prompt.predict(["food"], task={"name": trained, "max_tokens": 9})
    numbers = with_head(bert, "value")
    numbers.describe(task={"name": "regression", "scale": None})
    with pytest.raises(SoftpromptError, match="task classification: got a value head"):
        numbers.predict(["food"], task={"name": one})


def test_what_cannot_be_answered_is_refused(bert, writer):
    _, writing = writer
    with pytest.raises(PromptError, match=r"does not say which task.*Give task="):
        writing.generate(["x"])
    prompt = with_head(bert, "sequence", LABELS)
    task = {"name": "classification"}
    with pytest.raises(PromptError, match=r"Use prompt.predict"):
        prompt.generate(["x"], task=task)
    with pytest.raises(PromptError, match=r"Use prompt.generate"):
        writing.predict(["x"], task=FORM)
    with pytest.raises(DataError, match=r"record 2: got nothing as text|record 2: got no text"):
        prompt.predict(["the mill", None], task=task)
    for empty in ("", " \n"):
        with pytest.raises(DataError, match=r"record 2: got an empty text as text"):
            prompt.predict(["the mill", empty], task=task)
        with pytest.raises(DataError, match=r"record 1: got an empty text as source"):
            writing.generate(empty, task=FORM)
    with pytest.raises(DataError, match=r"record 2: got nan as text"):
        prompt.predict(["the mill", float("nan")], task=task)
    with pytest.raises(DataError, match=r"a table of pandas.*Give one of its columns"):
        prompt.predict(pandas.DataFrame({"text": ["the mill"]}), task=task)
    with pytest.raises(ConfigError, match=r"the key 'txt'.*Did you mean 'text'"):
        prompt.predict([{"txt": "the mill"}], task=task)
    keys = r"record 1: got a mapping with the keys 'a' and 'b', none of which is the text, expected .*'text'"
    with pytest.raises(ConfigError, match=keys):
        prompt.predict([{"a": 1, "b": 2}], task=task)
    with pytest.raises(ConfigError, match=r"record 2: got the key 'secondd'.*Did you mean 'second'"):
        prompt.predict([{"text": "a"}, {"text": "a", "secondd": "b"}], task=task)
    with pytest.raises(ConfigError, match=r"3 parts for task 'classification'"):
        prompt.predict([("a", "b", "c")], task=task)
    with pytest.raises(DataError, match=r"a Choices as text"):
        prompt.predict([Choices("x", "a", ("b", "c"))], task=task)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("马云住在杭州。", ["马", "云", "住", "在", "杭", "州", "。"]),
        ("马 云 住 在", ["马", "云", "住", "在"]),
        ("John lives in Paris.", ["John", "lives", "in", "Paris."]),
        ("서울에 산다", ["서울에", "산다"]),
        ("กขค", ["ก", "ข", "ค"]),
    ],
)
def test_words_of_typed_texts(text, words):
    assert [text[a:b] for a, b in word_places(text, "x")] == words


def words_of(text, how="auto", trained="auto"):
    return " ".join(text[a:b] for a, b in word_places(text, "x", how, trained))


def test_words_of_other_scripts_are_what_they_were_in_training():
    text = "我用iPhone 15打 电话"
    assert words_of(text, trained="scripts") == words_of(text, "scripts") == "我 用 iPhone 15 打 电 话"
    assert words_of(text, trained="letters") == "我 用 i P h o n e 1 5 打 电 话"
    assert words_of(text, "characters", "scripts") == words_of(text, trained="letters")
    for trained in ("characters", "auto"):
        with pytest.raises(DataError, match=r"'iPhone' in a text without.*one word or 6.*--words scripts"):
            word_places("我用iPhone打电话", "x", trained=trained)
    assert words_of("A股涨了", trained="characters") == "A 股 涨 了"
    assert words_of("སྐད་ཡིག", trained="characters") == "སྐ ད ་ ཡི ག"  # a mark belongs to its letter
    assert words_of("Él va", trained="scripts") == "Él va"


@pytest.mark.parametrize(
    ("sentences", "found"),
    [
        (["我 用 iPhone 打", "买 15 个"], "scripts"),
        (["我 用 i P h o n e 打"], "letters"),
        (["我 爱 北 京 。", "A 股"], "characters"),
        (["我 用 iPhone 打", "买 1 5 个"], "characters"),
        (["我 爱 北京 。"], "spaces"),
        (["in Rome"], None),
        (["我 爱", "in Rome , 5 6"], "characters"),
    ],
)
def test_what_words_are_in_training_data(bert, sentences, found):
    task = build_task(bert, TaggingSettings(), labels=("B", "O"))
    task.settle([TaggedWords(str(i), tuple(text.split())) for i, text in enumerate(sentences)])
    assert task.resolved == ({} if found is None else {"words": found})


def test_words_that_may_be_two_things_are_asked_about():
    with pytest.raises(DataError, match=r"one word or 2.*--words characters"):
        word_places("北京 很 大", "x")
    assert word_places("北京 很 大", "x", "spaces") == ((0, 2), (3, 4), (5, 6))
    assert word_places("北京 很", "x", "characters") == ((0, 1), (1, 2), (3, 4))
    # what the words of the training data were decides, where it is known
    assert word_places("北京 很", "x", trained="characters") == ((0, 1), (1, 2), (3, 4))
    assert word_places("in Rome", "x", trained="characters") == ((0, 2), (3, 7))
    assert word_places("北京 很大", "x", trained="spaces") == ((0, 2), (3, 5))
    with pytest.raises(DataError, match="trained on words"):
        word_places("北京很大", "x", trained="spaces")
