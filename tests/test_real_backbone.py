"""The bundled backbones, loaded once: what the tiny models promise holds on real weights."""

import pytest
import torch

import softprompt
from softprompt.backbones.loading import bundled_folder
from softprompt.data.records import Answer, LabelledText, Question, TaggedWords
from support.prompts import close, pad
from support.reading import head_of, task_of

SHOWN = " name : Blue Door | food : Thai -> The Blue Door serves Thai food.\n"
ASKED = " name : Old Mill | food : pasta ->"


@pytest.fixture(scope="module")
def backbone():
    if bundled_folder("smollm2-135m") is None:
        pytest.skip("smollm2-135m is not in the cache: softprompt backbones pull smollm2-135m")
    return softprompt.load_backbone("smollm2-135m", dtype="float32", device="cpu")


def test_a_text_start_is_in_context_learning(backbone):
    prompt = softprompt.prefix_tuning(backbone, initialization=f"text: {SHOWN.strip()}")
    shown = backbone.token_ids(SHOWN.strip())
    asked = torch.tensor([backbone.token_ids(ASKED)])
    with torch.no_grad():
        with backbone.prompted(prompt):
            ours = backbone.model(input_ids=asked).logits
        both = torch.cat([torch.tensor([shown]), asked], dim=1)
        theirs = backbone.model(input_ids=both).logits[:, len(shown) :]
    close(ours, theirs, 1e-4)


def test_soft_tokens_are_embeddings_in_front(backbone):
    prompt = softprompt.prompt_tuning(backbone, 100)
    asked = torch.tensor([backbone.token_ids(ASKED)] * 2)
    with torch.no_grad():
        embeds = backbone.model.get_input_embeddings()(asked)
        front = prompt().vectors[None].expand(2, -1, -1)
        theirs = backbone.model(inputs_embeds=torch.cat([front, embeds], dim=1)).logits[:, 100:]
        with backbone.prompted(prompt):
            ours = backbone.model(input_ids=asked).logits
    close(ours, theirs, 1e-4)


def test_two_steps_lower_the_loss(backbone):
    prompt = softprompt.prefix_tuning(
        backbone, reparameterization=None, initialization=f"text: {SHOWN.strip()}"
    )
    optimizer = torch.optim.AdamW(prompt.parameters(), lr=1e-2, weight_decay=0.0)
    ids = torch.tensor([backbone.token_ids(ASKED + " The Old Mill serves pasta.")])
    losses = []
    for _ in range(3):
        with backbone.prompted(prompt):
            loss = backbone.model(input_ids=ids, labels=ids).loss
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[2] < losses[1] < losses[0]


@pytest.fixture(scope="module")
def encoder():
    if bundled_folder("minilm-l6") is None:
        pytest.skip("minilm-l6 is not in the cache: softprompt backbones pull minilm-l6")
    return softprompt.load_backbone("minilm-l6", dtype="float32", device="cpu")


CONTEXT = (
    "In 1887 the naïve Café Zürich ☕ opened by the river; its owner, Anna Müller, sold tea for 5€ a cup."
)
ANSWERS = ("Café Zürich", "1887", "Anna Müller", "5€", "tea")


def test_pairs_have_the_tokenizers_own_form_on_minilm(encoder):
    task = task_of(encoder, "classification", ("no", "yes"))
    example = task.encode(LabelledText("1", "A cat sleeps.", "yes", "An animal is asleep."))
    (row,), expected = example.rows, encoder.tokenizer("A cat sleeps.", "An animal is asleep.")
    assert list(row.ids) == expected["input_ids"]
    assert list(row.segments) == expected["token_type_ids"]
    long = LabelledText("2", "cat " * 300, "no", "An animal is asleep.")
    cut = task.encode(long).rows[0]
    theirs = encoder.tokenizer(long.text, long.second, truncation=True, max_length=128)
    assert list(cut.ids) == theirs["input_ids"] and task.n_cut == 1


@pytest.mark.parametrize("name", ["encoder", "backbone"])
def test_answers_are_found_at_their_own_tokens(name, request):
    real = request.getfixturevalue(name)
    task = task_of(real, "spans", max_tokens=40, stride=20)
    for text in ANSWERS:
        record = Question("q", "what is it", CONTEXT, (Answer(text, CONTEXT.index(text)),))
        example = task.encode(record)
        found = [
            CONTEXT[window.offsets[start - window.first][0] : window.offsets[end - window.first][1]].strip()
            for (start, end), window in zip(example.labels, example.facts[0], strict=True)
            if start != window.nothing
        ]
        assert found and set(found) == {text}


@pytest.mark.parametrize("name", ["encoder", "backbone"])
def test_every_word_gets_a_tag_that_begins_at_its_own_characters(name, request):
    real = request.getfixturevalue(name)
    words = ("In", "1887", "Zürich", "☕", "cost", "5€", "@anna", "http://x.y/z", "naïveté")
    task = task_of(real, "tagging", ("O", "B-x"), max_tokens=12, vanished="unknown")
    example = task.encode(TaggedWords("1", words, ("O", "B-x") * 4 + ("O",)))
    assert example.n_rows > 1 and len(example.facts) == len(words)
    tokens = [example.rows[row].ids[place] for row, place in example.facts]
    firsts = [str(real.tokenizer.decode([token])).strip().lower() for token in tokens]
    # Half of a character, and what is unknown, have no letters to compare.
    plain = [
        (word, first)
        for word, first in zip(words, firsts, strict=True)
        if first.isascii() and first.isalnum()
    ]
    assert len(plain) >= 6
    assert all(word.lower().startswith(first) for word, first in plain if word.isascii())
    with torch.no_grad(), real.prompted(softprompt.head_only(real, head=task.head).eval()):
        (answer,) = task.predict([TaggedWords("1", words)])
    assert len(answer) == len(words)


def test_padding_and_prompts_change_no_pooled_state_on_minilm(encoder):
    head = softprompt.head("sequence", ["no", "yes"])
    prompt = softprompt.p_tuning_v2(encoder, 20, head=head).eval()
    rows = [torch.tensor(encoder.tokenizer(text)["input_ids"]) for text in ("A cat sleeps.", CONTEXT)]
    with torch.no_grad(), encoder.prompted(prompt):
        sides = [pad(rows, side) for side in ("left", "right")]
        left, right = (head_of(prompt)(encoder.read(one), one["attention_mask"]) for one in sides)
        alone = [pad([row], "right") for row in rows]
        each = [head_of(prompt)(encoder.read(one), one["attention_mask"]) for one in alone]
    close(left, torch.cat(each), 1e-4)
    close(right, torch.cat(each), 1e-4)


def test_a_few_steps_of_p_tuning_v2_learn_four_pairs_on_minilm(encoder):
    task = task_of(encoder, "classification", ("no", "yes"))
    records = [
        LabelledText(str(i), first, label, second)
        for i, (first, second, label) in enumerate(
            [
                ("A cat sleeps.", "An animal is asleep.", "yes"), ("A cat sleeps.", "It rains.", "no"),
                ("He bought a car.", "He has a car.", "yes"), ("He bought a car.", "The sea is blue.", "no"),
            ]
        )
    ]  # fmt: skip
    prompt = softprompt.p_tuning_v2(encoder, 8, head=task.head, seed=0)
    optimizer = torch.optim.AdamW(prompt.parameters(), lr=1e-2, weight_decay=0.0)
    examples = [task.encode(record) for record in records]
    losses = []
    for _ in range(12):
        with encoder.prompted(prompt):
            loss = task.loss(examples) / 4
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(0.69, abs=0.05)
    assert losses[-1] < 0.5 * losses[0]
    with encoder.prompted(prompt):
        assert task.predict(records) == ["yes", "no", "yes", "no"]
