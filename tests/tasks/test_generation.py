import random

import pytest
import torch

from softprompt.config import DecodingSettings, GenerationSettings
from softprompt.data.records import Record
from softprompt.errors import BackboneError, ConfigError, DataError
from softprompt.prompts.methods import prefix_tuning
from softprompt.tasks.examples import IGNORED
from softprompt.tasks.language.generation import GenerationTask

RECORDS = [
    Record("1", "name : The Mill | area : riverside", ("The Mill is by the riverside.",)),
    Record("2", "name : Blue Spice", ("Blue Spice.",)),
    Record("3", "name : Blue Spice | food : Chinese | area : riverside", ("Blue Spice is Chinese food.",)),
]
GREEDY = DecodingSettings(strategy="greedy", max_new_tokens=8)


def task(backbone, decoding=GREEDY, **settings):
    return GenerationTask(backbone, GenerationSettings(**settings), decoding=decoding)


def one_row_nll(backbone, example):
    """Written without batches, masks or shifts of whole tensors."""
    total = 0.0
    for position, label in enumerate(example.labels):
        if label == IGNORED:
            continue
        if backbone.spec.is_encoder_decoder:
            start = backbone.model.config.decoder_start_token_id
            written = torch.tensor([[start, *example.labels[:position]]])
            logits = backbone.model(
                input_ids=torch.tensor([example.input_ids]), decoder_input_ids=written
            ).logits
        else:
            logits = backbone.model(input_ids=torch.tensor([example.input_ids[:position]])).logits
        total -= logits[0, -1].double().log_softmax(-1)[label].item()
    return total


def test_decoder_labels_are_the_target_and_the_end_only(decoder):
    example = task(decoder).encode(RECORDS[0])
    separator = example.input_ids.index(1)
    assert example.labels[: separator + 1] == (IGNORED,) * (separator + 1)
    assert example.labels[separator + 1 :] == example.input_ids[separator + 1 :]
    assert example.input_ids[-1] == 2
    assert example.length == len(example.input_ids) == len(example.labels)
    assert example.n_targets == len(example.labels) - separator - 1


def test_decoder_without_context_does_not_label_its_first_token(decoder):
    example = task(decoder, separator="").encode(Record("x", "", ("a b",)))
    assert example.labels[0] == IGNORED
    assert example.n_targets == len(example.labels) - 1


@pytest.mark.parametrize("name", ["decoder", "t5", "bart"])
def test_loss_is_the_sum_over_rows_of_each_token_predicted_alone(name, request):
    backbone = request.getfixturevalue(name)
    generation = task(backbone)
    examples = [generation.encode(record) for record in RECORDS]
    with torch.no_grad():
        loss = generation.loss(examples)
        expected = sum(one_row_nll(backbone, example) for example in examples)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_loss_is_float32_and_reaches_the_prompt_under_a_bfloat16_backbone(decoder):
    decoder.model.to(torch.bfloat16)
    prompt = prefix_tuning(decoder, 2, reparameterization=None)
    generation = task(decoder)
    with decoder.prompted(prompt):
        loss = generation.loss([generation.encode(RECORDS[0])])
        assert loss.dtype == torch.float32
        loss.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in prompt.parameters())


@pytest.mark.parametrize("name", ["decoder", "t5", "bart"])
def test_a_prompt_changes_loss_and_outputs_and_leaves_no_trace(name, request):
    backbone = request.getfixturevalue(name)
    generation = task(backbone)
    examples = [generation.encode(record) for record in RECORDS]
    prompt = prefix_tuning(backbone, 4, reparameterization=None, initialization="random")
    with torch.no_grad():
        bare, texts = generation.loss(examples), generation.predict(RECORDS)
        with backbone.prompted(prompt):
            assert abs(generation.loss(examples) - bare) > 1e-3
            assert generation.predict(RECORDS) != texts
        assert generation.loss(examples) == bare
    assert generation.predict(RECORDS) == texts


def test_encode_wants_one_target(decoder):
    with pytest.raises(DataError, match=r"record 9: got 2 targets, expected one .*records\.pairs"):
        task(decoder).encode(Record("9", "a", ("b", "c")))


@pytest.mark.parametrize("name", ["decoder", "t5", "bart"])
@pytest.mark.parametrize("strategy", ["greedy", "beam"])
def test_predictions_do_not_depend_on_batch_mates_and_keep_their_order(name, strategy, request):
    backbone = request.getfixturevalue(name)
    decoding = DecodingSettings(strategy=strategy, max_new_tokens=8, batch_size=2)
    generation = task(backbone, decoding)
    done = []
    together = generation.predict(RECORDS, progress=done.append)
    assert together == [generation.predict([record])[0] for record in RECORDS]
    assert len(set(together)) == 3
    assert sum(done) == 3


def test_greedy_prediction_is_the_argmax_continuation_with_newlines_banned(decoder):
    newline = decoder.tokenizer("\n", add_special_tokens=False)["input_ids"][0]
    with torch.no_grad():
        # Without the ban this row wins everywhere.
        decoder.model.lm_head.weight[newline] = 0
        decoder.model.lm_head.weight *= 0.1
        ids = list(task(decoder).encode(RECORDS[0]).input_ids)
        ids = ids[: ids.index(1) + 1]
        hidden = decoder.model.model(input_ids=torch.tensor([ids])).last_hidden_state[0, -1]
        decoder.model.lm_head.weight[newline] = hidden
        written = []
        for _ in range(8):
            logits = decoder.model(input_ids=torch.tensor([ids + written])).logits[0, -1]
            assert written or logits.argmax() == newline
            for token in range(len(decoder.tokenizer)):
                if "\n" in decoder.tokenizer.decode([token]):
                    logits[token] = -torch.inf
            written.append(int(logits.argmax()))
            if written[-1] == 2:
                break
    banned = DecodingSettings(strategy="greedy", max_new_tokens=8, ban_newlines=True)
    assert task(decoder, banned).predict(RECORDS[:1]) == [decoder.tokenizer.decode(written, True).strip()]
    raw = []
    generate = decoder.model.generate

    def spied(**kwargs):
        raw.append(generate(**kwargs))
        return raw[-1]

    decoder.model.generate = spied
    task(decoder).predict(RECORDS[:1])
    assert raw[0][0, len(ids)] == newline


def test_min_new_tokens_holds_the_end_back(decoder):
    example = task(decoder).encode(RECORDS[0])
    context = example.input_ids[: example.input_ids.index(1) + 1]
    with torch.no_grad():
        # The end token wins at once.
        hidden = decoder.model.model(input_ids=torch.tensor([context])).last_hidden_state[0, -1]
        decoder.model.lm_head.weight[2] = 10 * hidden
    assert task(decoder).predict(RECORDS[:1]) == [""]
    n_written = []
    generate = decoder.model.generate

    def spied(**kwargs):
        written = generate(**kwargs)
        n_written.append(written.shape[1] - len(context))
        return written

    decoder.model.generate = spied
    decoding = DecodingSettings(strategy="greedy", max_new_tokens=6, min_new_tokens=6)
    task(decoder, decoding).predict(RECORDS[:1])
    assert n_written == [6]


def test_what_the_models_own_generation_file_says_changes_nothing(decoder):
    plain = task(decoder).predict(RECORDS)
    config = decoder.model.generation_config
    config.do_sample, config.temperature, config.top_k, config.top_p = True, 5.0, 3, 0.5
    config.repetition_penalty, config.no_repeat_ngram_size, config.num_beams = 3.0, 1, 3
    config.max_length, config.min_length, config.eos_token_id = 13, 5, [3, 4]
    config.bad_words_ids, config.min_p = [[i] for i in range(5, 300)], 0.9
    assert task(decoder).predict(RECORDS) == plain


def test_sampling_follows_its_seed_and_leaves_torch_alone(decoder):
    generation = task(decoder, DecodingSettings(strategy="sample", max_new_tokens=8))
    state = torch.get_rng_state()
    first = generation.predict(RECORDS, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert generation.predict(RECORDS, seed=1) == first
    assert generation.predict(RECORDS, seed=2) != first


def test_predict_refuses_a_record_with_nothing_to_read(decoder):
    with pytest.raises(DataError, match=r"record x: got an empty source"):
        task(decoder, separator="").predict([Record("x", "", ("a",))])


def test_demonstrations_are_whole_examples_chosen_by_seed(decoder):
    generation = task(decoder)
    whole = {generation.encode(record).input_ids for record in RECORDS}
    chosen = generation.demonstrations(RECORDS, 2, seed=0)
    assert {tuple(ids) for ids in chosen} < whole
    assert len({tuple(ids) for ids in chosen}) == 2
    assert generation.demonstrations(RECORDS, 2, seed=0) == chosen
    assert any(generation.demonstrations(RECORDS, 2, seed=seed) != chosen for seed in range(1, 5))
    with pytest.raises(DataError, match=r"demonstrations: got 4, expected at most 3, "):
        generation.demonstrations(RECORDS, 4, seed=0)


def test_demonstrations_do_not_touch_the_global_generator(decoder):
    random.seed(3)
    state = random.getstate()
    task(decoder).demonstrations(RECORDS, 2, seed=0)
    assert random.getstate() == state


def test_positions_that_do_not_suffice_are_refused_before_the_model_runs(decoder):
    long = Record("long", "food " * 100, ("a " * 100,))
    generation = task(decoder, DecodingSettings(strategy="greedy", max_new_tokens=100))
    n_read = len(generation.encode(long).input_ids) - generation.encode(long).n_targets
    room = 256 - n_read - 100
    generation.check_positions([*RECORDS, long], room, training=False)
    with pytest.raises(
        ConfigError,
        match=rf"record long: got {room + 1} prompt positions, {n_read} source tokens and 100 new tokens, "
        r"expected at most 256 positions together \(LlamaForCausalLM has no more\)\. Lower "
        r".*decoding\.max_new_tokens",
    ):
        generation.check_positions([*RECORDS, long], room + 1, training=False)
    room = 256 - generation.encode(long).length
    generation.check_positions([long], room, training=True)
    with pytest.raises(ConfigError, match=r"target tokens.*task\.max_target_tokens"):
        generation.check_positions([long], room + 1, training=True)
    assert generation.n_cut == 0


def test_encoder_decoder_positions_count_the_two_sides_apart(bart):
    generation = task(bart, DecodingSettings(strategy="greedy", max_new_tokens=100))
    record = Record("r", "x" * 99, ("a",))
    n_read = len(generation.encode(record).input_ids)
    assert n_read == 100
    generation.check_positions([record], 28, training=False)
    with pytest.raises(ConfigError, match=r"record r: got 29 prompt positions"):
        generation.check_positions([record], 29, training=False)


def test_unlimited_positions_are_never_refused(t5):
    task(t5).check_positions(RECORDS, 10**6, training=True)


def test_scores_come_by_group_where_records_say_seen_or_unseen(decoder, monkeypatch):
    from types import SimpleNamespace

    import softprompt.metrics

    calls = []

    def score(names, hypotheses, references, **facts):
        calls.append((names, hypotheses, references))
        return SimpleNamespace(values={"bleu": float(len(hypotheses))}, notes=["a note"])

    monkeypatch.setattr(softprompt.metrics, "score", score, raising=False)
    records = [
        Record("1", "a", ("A", "AA"), {"seen": "unseen"}),
        Record("2", "b", ("B",), {"seen": "seen"}),
        Record("3", "c", ("C",), {"seen": "unseen"}),
    ]
    rows = task(decoder).score(records, ["x", "y", "z"], ["bleu"])
    assert [(row["group"], row["values"]["bleu"]) for row in rows] == [("seen", 1), ("unseen", 2), ("all", 3)]
    assert calls[1] == (["bleu"], ["x", "z"], [["A", "AA"], ["C"]])
    assert rows[0]["notes"] == ["a note"]
    assert [row["group"] for row in task(decoder).score(RECORDS, ["x", "y", "z"], ["bleu"])] == ["all"]


def test_cut_texts_are_counted(decoder):
    generation = task(decoder, max_source_tokens=5)
    generation.encode(RECORDS[0])
    generation.predict([RECORDS[2]])
    assert generation.n_cut == 2


def test_encoder_decoder_that_cannot_shift_labels_is_refused(t5, monkeypatch):
    monkeypatch.delattr(type(t5.model), "prepare_decoder_input_ids_from_labels")
    generation = task(t5)
    with pytest.raises(BackboneError, match=r"got a T5For.*, expected an encoder-decoder that makes decoder"):
        generation.loss([generation.encode(RECORDS[0])])
