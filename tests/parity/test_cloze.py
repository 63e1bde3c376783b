"""Cloze tasks say what the model itself says in the blank, trained and read at one place."""

import copy
from typing import Any

import pytest
import torch

import softprompt
from softprompt.errors import PromptError
from softprompt.tasks.language.cloze import ClozeTask
from support.blanks import CAUSAL, MASKED, RECORDS, WORDS, blank_backbone, cloze, probing, template_of
from support.prompts import bare_prompt, close, pad

ALL = pytest.mark.parametrize("family", [*MASKED, *CAUSAL])
CAUSAL_ONLY = pytest.mark.parametrize("family", CAUSAL)
TOKENS = torch.tensor


def tokens_of(backbone, word: str) -> list[int]:
    return backbone.token_ids(word if "great" in backbone.tokenizer.get_vocab() else f" {word}")


def said(backbone, ids: list[int]) -> torch.Tensor:
    """Log-probabilities of the model itself at every position of a text, `[seq, vocab]`."""
    with torch.no_grad():
        return backbone.model(input_ids=TOKENS([ids])).logits[0].float().log_softmax(-1)


def predicted_from(task, record) -> Any:
    """The example whose scores decide what the task predicts for a record."""
    examples: list[Any] = []
    scores = task.scores
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task, "scores", lambda some: examples.extend(some) or scores(some))
        task.predict([record])
    (example,) = examples
    return example


def batch_of(examples) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """The rows of examples as one batch, and the places that their labels are read at, `[batch, seq]`."""
    inputs = pad([TOKENS(row.ids) for example in examples for row in example.rows], "right")
    labelled = torch.zeros_like(inputs["input_ids"], dtype=torch.bool)
    for row, places in enumerate(places for example in examples for places in example.places):
        labelled[row, list(places)] = True
    return inputs, labelled


@ALL
def test_a_template_without_slots_is_the_plain_text_under_the_plain_model(family):
    backbone = blank_backbone(family)
    task = cloze(backbone, verbalizer={"bad": "terrible", "good": "great"})
    for record in RECORDS[:2]:
        mask = "" if backbone.is_causal else f" {backbone.tokenizer.mask_token} in Paris."
        text = f"{record.text} It was{mask}"
        ids = list(backbone.tokenizer(text)["input_ids"])
        example = task.encode(record)
        assert list(example.rows[0].ids) == ids
        place = len(ids) - 1 if backbone.is_causal else ids.index(backbone.tokenizer.mask_token_id)
        row = said(backbone, ids)[place]
        wanted = torch.cat([row[tokens_of(backbone, word)] for word in ("terrible", "great")])
        with torch.no_grad(), backbone.prompted(None):
            (scores,) = task.scores([example])
        close(scores, wanted)


@ALL
def test_the_loss_is_over_label_words_only_and_its_softmax_the_prediction(family):
    backbone = blank_backbone(family)
    task = cloze(backbone)
    examples = [task.encode(record) for record in RECORDS]
    with torch.no_grad(), backbone.prompted(None):
        losses, scores, answers = task.losses(examples), task.scores(examples), task.predict(RECORDS)
    for loss, score, record, answer in zip(losses, scores, RECORDS, answers, strict=True):
        close(loss, -score.log_softmax(-1)[task.labels.index(record.label)])
        assert answer == task.labels[int(score.argmax())]


@ALL
def test_the_label_never_enters_the_input(family):
    backbone = blank_backbone(family)
    task = cloze(backbone)
    for record in RECORDS:
        with backbone.prompted(None):
            unknown = predicted_from(task, type(record)("x", record.text))
        bad, good = (task.encode(type(record)("x", record.text, label)) for label in ("bad", "good"))
        assert bad.rows == good.rows == unknown.rows and bad.places == good.places == unknown.places
        assert (bad.target, good.target, unknown.target) == (0, 1, None)


@ALL
def test_slots_and_the_supervised_place_are_the_same_in_training_and_prediction(family):
    backbone = blank_backbone(family)
    task = cloze(backbone, template=template_of(backbone, slots=True))
    prompt = softprompt.p_tuning(backbone, task.template, encoder=None, seed=3)
    with torch.no_grad():
        for parameter in prompt.parameters():
            parameter.mul_(5)
    with backbone.prompted(prompt):
        examples = [predicted_from(task, record) for record in RECORDS]
    for record, read in zip(RECORDS, examples, strict=True):
        trained = task.encode(record)
        assert trained.rows == read.rows and trained.places == read.places
        assert [i for i in trained.rows[0].ids if i < 0] == [-(k + 1) for k in task.template.slots]
    with torch.no_grad(), backbone.prompted(prompt):
        losses = task.losses([task.encode(record) for record in RECORDS])
        by_hand = []
        for record, read in zip(RECORDS, examples, strict=True):
            (scores,) = task.scores([read])
            by_hand.append(-scores.log_softmax(-1)[task.labels.index(record.label)])
    close(losses, torch.stack(by_hand))


@ALL
def test_shortening_keeps_every_slot_and_the_blank(family):
    backbone = blank_backbone(family)
    template = template_of(backbone, slots=True)
    short = cloze(backbone, template=template, max_tokens=24)
    long = RECORDS[2].text * 5
    example = short.encode(type(RECORDS[2])("x", long, "bad"))
    assert short.n_cut == 1
    for row, places in zip(example.rows, example.places, strict=True):
        assert len(row.ids) <= 24
        assert sorted({i for i in row.ids if i < 0}) == sorted({-(k + 1) for k in short.template.slots})
        if not backbone.is_causal:
            assert all(row.ids[place] == backbone.tokenizer.mask_token_id for place in places)


@ALL
def test_a_mixed_batch_of_templates_and_prompts_is_one_by_one(family):
    backbone = blank_backbone(family)
    tasks = [
        cloze(backbone),
        cloze(backbone, template=template_of(backbone, slots=True), reduction="sum"),
        cloze(backbone, verbalizer={"bad": "terrible bad", "good": "great"}),
    ]
    prompts = [
        None,
        softprompt.p_tuning(backbone, tasks[1].template, encoder=None, seed=1),
        softprompt.prefix_tuning(backbone, 3, reparameterization=None, initialization="random", seed=2),
    ]
    examples = [tasks[i % 3].encode(RECORDS[i % 4]) for i in range(6)]
    rows = [i % 3 for i, example in enumerate(examples) for _ in example.rows]
    with torch.no_grad():
        with backbone.prompted(prompts, rows=rows):
            together = tasks[0].losses(examples)
        for i, example in enumerate(examples):
            with backbone.prompted(prompts[i % 3]):
                close(together[i], tasks[i % 3].losses([example])[0])


@CAUSAL_ONLY
def test_several_tokens_are_the_product_of_conditional_probabilities_by_hand(family):
    backbone = blank_backbone(family)
    words = {"bad": "terrible bad film", "good": ["great good", "good"]}
    task = cloze(backbone, verbalizer=words)
    example = task.encode(RECORDS[0])
    assert len(example.rows) == 2  # "good" begins no row of its own: it is read off another's
    base = list(backbone.tokenizer(f"{RECORDS[0].text} It was")["input_ids"])
    with torch.no_grad(), backbone.prompted(None):
        (scores,) = task.scores([example])

    def log_prob(word: str) -> torch.Tensor:
        tokens, ids, total = backbone.token_ids(f" {word}"), list(base), torch.zeros(())
        for token in tokens:  # each from a pass of its own
            total = total + said(backbone, ids)[-1, token]
            ids.append(token)
        return total

    close(scores[0], log_prob("terrible bad film"))
    close(scores[1], (log_prob("great good") + log_prob("good")) / 2)


@pytest.mark.parametrize("family", MASKED)
def test_several_tokens_of_a_masked_model_are_as_many_masks(family):
    backbone = blank_backbone(family)
    words = ["terrible film", "great"]
    task = cloze(backbone, verbalizer=dict(zip(("bad", "good"), words, strict=True)))
    mask = backbone.tokenizer.mask_token
    with torch.no_grad(), backbone.prompted(None):
        (scores,) = task.scores([task.encode(RECORDS[1])])
    for n, label in ((2, 0), (1, 1)):
        word = tokens_of(backbone, words[label])
        assert len(word) == n
        ids = list(backbone.tokenizer(f"{RECORDS[1].text} It was{f' {mask}' * n} in Paris.")["input_ids"])
        places = [i for i, token in enumerate(ids) if token == backbone.tokenizer.mask_token_id]
        row = said(backbone, ids)
        close(scores[label], sum(row[p, t] for p, t in zip(places, word, strict=True)))  # type: ignore[arg-type]


@ALL
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_reductions_by_hand(family, reduction):
    backbone = blank_backbone(family)
    words = {"bad": ["terrible", "bad"], "good": ["great", "film"]}
    one = cloze(backbone, verbalizer=words, reduction=reduction)
    each = cloze(
        backbone,
        [w for ws in words.values() for w in ws],
        verbalizer={w: w for ws in words.values() for w in ws},
    )
    with torch.no_grad(), backbone.prompted(None):
        (scores,) = one.scores([one.encode(RECORDS[0])])
        (apart,) = each.scores([each.encode(type(RECORDS[0])("x", RECORDS[0].text, "bad"))])
    apart = apart.view(2, 2)
    close(scores, apart.mean(1) if reduction == "mean" else apart.exp().sum(1).log())


@ALL
def test_an_encoder_baked_is_the_encoder(family):
    backbone = blank_backbone(family)
    task = cloze(backbone, template=template_of(backbone, slots=True))
    prompt = softprompt.p_tuning(backbone, task.template, seed=1)
    found = []
    for one in (prompt, prompt.bake()):
        with torch.no_grad(), backbone.prompted(one):
            found.append(task.losses([task.encode(record) for record in RECORDS]))
    assert torch.equal(*found)


@pytest.mark.parametrize("family", [*MASKED, "gpt2"])
def test_bitfit_changes_biases_only_and_leaving_restores_them(family):
    backbone = blank_backbone(family)
    task = cloze(backbone)
    prompt = softprompt.null_prompt(backbone, template_of(backbone), tune="bitfit")
    before = copy.deepcopy(backbone.model.state_dict())
    with torch.no_grad(), backbone.prompted(None):
        bare = task.losses([task.encode(record) for record in RECORDS])
    optimizer = torch.optim.AdamW(prompt.parameters(), 0.1)
    with backbone.prompted(prompt):
        task.loss([task.encode(record) for record in RECORDS]).backward()
        optimizer.step()
        trained = task.losses([task.encode(record) for record in RECORDS]).detach()
    assert not torch.allclose(trained, bare)
    assert set(prompt.weights) == {
        name for name, p in backbone.model.named_parameters() if p.ndim == 1 and "bias" in name
    }
    after = backbone.model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert all(parameter.grad is None for parameter in backbone.model.parameters())
    with torch.no_grad(), backbone.prompted(None):
        assert torch.equal(task.losses([task.encode(record) for record in RECORDS]), bare)


@pytest.mark.parametrize("family", [*MASKED, "gpt2"])
def test_tuning_the_vocabulary_head_leaves_the_tied_embeddings_alone(family):
    backbone = blank_backbone(family)
    matrix = backbone.model.get_input_embeddings().weight
    assert matrix is backbone.vocabulary_matrix.weight, "tied, or this tests nothing"
    task = cloze(backbone)
    prompt = softprompt.null_prompt(backbone, template_of(backbone), tune="head")
    with torch.no_grad():
        for parameter in prompt.parameters():
            parameter.add_(torch.randn_like(parameter))
    inputs, asked = batch_of([task.encode(record) for record in RECORDS])
    with torch.no_grad():
        with backbone.prompted(None):
            bare = backbone.labelled_states(inputs, asked), backbone.labelled_logits(inputs, asked)
        with backbone.prompted(prompt):
            read = backbone.read(inputs)
            changed = backbone.labelled_logits(inputs, asked)
        with backbone.prompted(None):
            assert torch.equal(backbone.read(inputs), read)
    assert not torch.allclose(changed, bare[1])


@ALL
def test_states_through_the_matrix_are_the_logits(family):
    backbone = blank_backbone(family)
    task = cloze(backbone)
    inputs, asked = batch_of([task.encode(record) for record in RECORDS])
    with torch.no_grad(), backbone.prompted(None):
        states, logits = backbone.labelled_states(inputs, asked), backbone.labelled_logits(inputs, asked)
        vectors, biases = backbone.output_vectors(range(logits.shape[1]))
    close(states @ vectors.T + biases, logits)


@ALL
def test_calibration_and_soft_words_begin_with_what_the_words_say(family):
    backbone = blank_backbone(family)
    words = {"bad": "terrible", "good": "great"}
    plain = cloze(backbone, verbalizer=words)
    with torch.no_grad(), backbone.prompted(None):
        wanted = [one.softmax(-1) for one in plain.scores([plain.encode(record) for record in RECORDS])]
    for kind, n in (("calibration", 4 + 2), ("soft", 2 * backbone.output_vectors([5])[0].shape[1] + 2)):
        task = cloze(backbone, verbalizer=words, head=kind)
        prompt = softprompt.head_only(backbone, head=task.head)
        assert prompt.n_trained_parameters == n
        examples = [task.encode(record) for record in RECORDS]
        with backbone.prompted(prompt):
            found = task.scores(examples)
            task.loss(examples).backward()
        for one, other in zip(found, wanted, strict=True):
            close(one.softmax(-1), other)
        assert all(parameter.grad.abs().sum() > 0 for parameter in prompt.parameters())
        with (
            pytest.raises(PromptError, match=f"task cloze: got no head, expected a {kind} head for"),
            backbone.prompted(bare_prompt(backbone)),
        ):
            task.losses(examples)


@ALL
def test_a_linear_head_reads_the_state_in_the_blank(family):
    backbone = blank_backbone(family)
    task = cloze(backbone, head="linear")
    prompt = softprompt.head_only(backbone, head=task.head, seed=2)
    same = softprompt.head_only(backbone, head=task.head, seed=2)
    head = prompt.head
    assert head is not None and torch.equal(head.weight, same.head.weight)  # type: ignore[union-attr]
    examples = [task.encode(record) for record in RECORDS]
    with torch.no_grad(), backbone.prompted(prompt):
        found = torch.stack(task.scores(examples))
        states = backbone.labelled_states(*batch_of(examples))
    close(found, states @ head.weight.T + head.bias)


def test_a_template_may_be_named():
    backbone = blank_backbone("gpt2")
    patterns = {"manual": "{text} It was [blank]", "other": "{sentence} [blank]"}
    assert str(cloze(backbone, template="manual", patterns=patterns).template) == patterns["manual"]
    assert str(cloze(backbone, template="other", patterns=patterns).template) == patterns["other"]
    assert str(cloze(backbone, template=None, patterns=patterns).template) == "{sentence} [blank]"


@CAUSAL_ONLY
def test_examples_in_context_are_the_text_before(family):
    backbone = blank_backbone(family)
    task = cloze(backbone)
    examples = task.demonstrations(RECORDS, 3, seed=4)
    prompt = softprompt.in_context(backbone, examples)
    assert prompt.n_trained_parameters == 0 and prompt.length == sum(map(len, examples))
    before = [token for example in examples for token in example]
    for record in RECORDS:
        ids = [*before, *task.encode(record).rows[0].ids]
        with torch.no_grad(), backbone.prompted(prompt):
            found = task.log_probs([task.encode(record)])
        close(found[0], said(backbone, ids)[-1])
        assert str(record.label) not in backbone.tokenizer.decode(task.encode(record).rows[0].ids[-2:])


@ALL
def test_examples_written_into_the_template_are_the_text_before(family):
    backbone = blank_backbone(family)
    task = cloze(backbone, verbalizer={"bad": "terrible", "good": "great"}, max_tokens=40)
    shown = task.demonstrated(RECORDS, 2, max_tokens=60, seed=4)
    assert isinstance(shown, ClozeTask) and shown.verbalizer.words == task.verbalizer.words  # type: ignore[union-attr]
    words: dict[Any, str] = {
        label: words[0] for label, words in zip(task.labels, task.verbalizer.words, strict=True)
    }  # type: ignore[union-attr]
    chosen = [record for record in RECORDS if record.text in str(shown.template)]
    assert len(chosen) == 2
    order = sorted(chosen, key=lambda record: str(shown.template).index(record.text))
    end = "" if backbone.is_causal else " in Paris."
    text = "".join(f"{record.text} It was {words[record.label]}{end}\n" for record in order)
    mask = "" if backbone.is_causal else f" {backbone.tokenizer.mask_token}"
    ids = backbone.tokenizer(f"{text}{RECORDS[0].text} It was{mask}{end}")["input_ids"]
    assert list(shown.encode(RECORDS[0]).rows[0].ids) == list(ids)


@ALL
def test_probing_ranks_within_the_allowed_words(family, tmp_path):
    backbone = blank_backbone(family)
    (tmp_path / "words.txt").write_text("great\nfilm\nterrible\nParis\nnot one token at all\n")
    behind = "" if backbone.is_causal else " ."
    record = type(RECORDS[0])("f", "France", "Paris")
    task = probing(
        backbone,
        template=f"the capital of {{subject}} is [blank]{behind}",
        vocabulary=str(tmp_path / "words.txt"),
    )
    assert task.vocabulary.dropped == ("not one token at all",)  # type: ignore[union-attr]
    mask = "" if backbone.is_causal else f" {backbone.tokenizer.mask_token}"
    ids = list(backbone.tokenizer(f"the capital of France is{mask}{behind}")["input_ids"])
    place = -1 if backbone.is_causal else ids.index(backbone.tokenizer.mask_token_id)
    row = said(backbone, ids)[place]
    ranked = sorted(task.vocabulary.ids, key=lambda token: -row[token])  # type: ignore[union-attr]
    with torch.no_grad(), backbone.prompted(None):
        (answer,) = task.predict([record])
        loss = task.loss([task.encode(record)])
    (paris,) = tokens_of(backbone, "Paris")
    assert answer["rank"] == ranked.index(paris) + 1
    assert answer["words"] == [backbone.tokenizer.decode([token]).strip() for token in ranked]  # type: ignore[union-attr]
    close(loss, -row[paris])
    other = type(record)("g", "France", "terrible bad")
    assert task.usable([record, other]) == [record]


def test_the_words_of_the_tests_are_what_they_claim():
    for family in (*MASKED, *CAUSAL):
        backbone = blank_backbone(family)
        words = [WORDS["bad"], *WORDS["good"]]
        assert [len(tokens_of(backbone, word)) for word in words] == [1, 1, 1], (family, WORDS)
