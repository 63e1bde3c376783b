"""Every way to call a model gives the same numbers under a prompt, or a refusal with its reason."""

import threading
from typing import Any

import pytest
import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, T5Config, T5EncoderModel

import softprompt
from softprompt.errors import BackboneError
from support.prompts import bare_prompt, close, inputs_for, random_prefix, soft_tokens
from support.references import METHODS, generated_by_hand, logits_by_hand, make
from support.tiny import ids, tiny_backbone, tiny_model


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_every_entry_of_a_decoder(family, method):
    backbone = tiny_backbone(family)
    model, prompt, x = backbone.model, make(backbone, method), ids(2, 6)
    want = logits_by_hand(prompt, x, family)
    head = model.lm_head
    with torch.no_grad(), backbone.prompted(prompt) as prompted:
        for logits in (
            model(x).logits,
            model(input_ids=x, attention_mask=torch.ones_like(x)).logits,
            model.forward(x).logits,
            model(inputs_embeds=model.get_input_embeddings()(x)).logits,
            model(x, return_dict=False)[0],
            head(model.base_model(x).last_hidden_state),
            head(model.base_model.forward(input_ids=x)[0]),
            head(model(x, output_hidden_states=True).hidden_states[-1]),
            prompted(x).logits,
            prompted.run(model.forward, input_ids=x).logits,
        ):
            close(logits, want)


@pytest.mark.parametrize("method", METHODS)
def test_generate_in_several_forms(method):
    backbone = tiny_backbone("llama")
    model: Any = backbone.model
    prompt, x = make(backbone, method), ids(2, 5)
    options: dict[str, Any] = {"max_new_tokens": 4, "do_sample": False, "eos_token_id": None}
    want = generated_by_hand(prompt, x, 4)
    with backbone.prompted(prompt) as prompted:
        for text in (
            model.generate(x, **options),
            model.generate(input_ids=x, generation_config=GenerationConfig(**options)),
            model.generate(x, use_cache=False, **options),
            model.generate(x, cache_implementation="static", disable_compile=True, **options),
            prompted.generate(x, num_beams=1, return_dict_in_generate=True, **options).sequences,
            type(model).generate(model, x, **options),  # type: ignore[attr-defined]
            x.new_tensor(model.generate(x, **options).tolist()),
        ):
            assert torch.equal(text, want)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "modernbert"])
@pytest.mark.parametrize("kind", [random_prefix, soft_tokens])
def test_forward_of_an_encoder(family, kind):
    backbone = tiny_backbone(family)
    x = ids(2, 6)
    with torch.no_grad(), backbone.prompted(kind(backbone)):
        want = backbone.model(input_ids=x).last_hidden_state
        assert torch.equal(backbone.model.forward(input_ids=x).last_hidden_state, want)
    with torch.no_grad():
        assert not torch.allclose(backbone.model(input_ids=x).last_hidden_state, want)


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_an_encoder_alone_and_what_it_gave(family):
    backbone = tiny_backbone(family)
    given = inputs_for(backbone)
    encoder, model = backbone.model.get_encoder(), backbone.model
    text = {name: given[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad(), backbone.prompted(random_prefix(backbone)):
        whole = model(**given)
        states = encoder(**text)
        assert torch.equal(states.last_hidden_state, whole.encoder_last_hidden_state)
        assert torch.equal(encoder.forward(**text).last_hidden_state, states.last_hidden_state)
        again = model(
            encoder_outputs=states, attention_mask=given["attention_mask"],
            decoder_input_ids=given["decoder_input_ids"],
        )  # fmt: skip
        close(again.logits, whole.logits)
        options = {"max_new_tokens": 4, "do_sample": False}
        direct = model.generate(**text, **options)
        handed = model.generate(encoder_outputs=states, attention_mask=text["attention_mask"], **options)
        assert torch.equal(direct, handed)


def test_a_t5_encoder_without_a_decoder():
    torch.manual_seed(0)
    config = T5Config(vocab_size=64, d_model=32, d_ff=48, num_layers=2, num_heads=4, d_kv=8)
    backbone = softprompt.load_backbone(T5EncoderModel(config).eval())
    x = ids(2, 6)
    with torch.no_grad(), backbone.prompted(random_prefix(backbone)):
        want = backbone.model(input_ids=x).last_hidden_state
        assert torch.equal(backbone.model.forward(input_ids=x).last_hidden_state, want)
        assert torch.equal(backbone.model.encoder(input_ids=x).last_hidden_state, want)
    assert not torch.allclose(backbone.model(input_ids=x).last_hidden_state, want)


class Contrasts(LogitsProcessor):
    """Classifier-free guidance by hand: the same model without a prompt, from inside its own generation."""

    def __init__(self, backbone: Any):
        self.backbone = backbone
        self.kept: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.kept.append(self.backbone.model(input_ids).logits[:, -1])
        return scores


def test_the_model_called_from_inside_its_generation_has_the_prompt_too():
    backbone = tiny_backbone("llama")
    prompt, x, contrasts = make(backbone, "prefix"), ids(1, 5), Contrasts(backbone)
    options: dict[str, Any] = {"max_new_tokens": 2, "do_sample": False, "eos_token_id": None}
    with backbone.prompted(prompt):
        text = backbone.model.generate(x, **options, logits_processor=LogitsProcessorList([contrasts]))
    close(contrasts.kept[0], logits_by_hand(prompt, x)[:, -1])
    close(contrasts.kept[1], logits_by_hand(prompt, text[:, :-1])[:, -1])


@pytest.mark.parametrize("method", METHODS)
def test_views_called_inside_a_generation(method):
    """Guidance: the same session's view, and one of another session, called for every new token."""
    backbone = tiny_backbone("llama")
    prompt, other, x = make(backbone, method), make(backbone, "prefix", seed=9), ids(1, 5)
    options: dict[str, Any] = {"max_new_tokens": 3, "do_sample": False, "eos_token_id": None}
    opened, done, views = threading.Event(), threading.Event(), []

    def hold() -> None:
        with backbone.prompted(other) as theirs:
            views.append(theirs)
            opened.set()
            assert done.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    assert opened.wait(60)
    kept: list[tuple[torch.Tensor, ...]] = []
    try:
        with backbone.prompted(prompt) as prompted:

            def contrast(input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
                kept.append((input_ids, prompted(input_ids).logits, views[0](input_ids).logits))
                return scores

            if method == "weights":
                with pytest.raises(BackboneError, match=r"a view called inside another call"):
                    prompted.generate(x, **options, logits_processor=[contrast])
            else:
                text = prompted.generate(x, **options, logits_processor=[contrast])
                assert torch.equal(text, generated_by_hand(prompt, x, 3))
            assert torch.equal(prompted.generate(x, **options), generated_by_hand(prompt, x, 3))
    finally:
        done.set()
        holder.join()
    for read, own, theirs in kept:
        close(own, logits_by_hand(prompt, read))
        close(theirs, logits_by_hand(other, read))
    assert len(kept) == (0 if method == "weights" else 3)


def test_continuous_batching_is_refused_by_name():
    backbone = tiny_backbone("llama")
    with backbone.prompted(make(backbone, "prefix")) as prompted:
        for call in (
            backbone.model.generate_batch,
            lambda *a: prompted.run(backbone.model.generate_batch, *a),
        ):
            with pytest.raises(BackboneError, match=r"continuous batching of .* thread of its own"):
                call([[3, 4, 5], [6, 7]])


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("method", METHODS)
def test_a_model_that_peft_wraps(method):
    peft = pytest.importorskip("peft")
    backbone = tiny_backbone("llama")
    config = peft.LoraConfig(r=2, target_modules=["o_proj"], init_lora_weights=True, task_type="CAUSAL_LM")
    wrapped = peft.get_peft_model(backbone.model, config)  # begins as nothing
    prompt, x = make(softprompt.load_backbone(tiny_model("llama")), method), ids(2, 5)
    with torch.no_grad(), backbone.prompted(prompt):
        want = logits_by_hand(prompt, x)
        close(wrapped(input_ids=x).logits, want)
        close(backbone.model(x).logits, want)
        text = wrapped.generate(input_ids=x, max_new_tokens=3, do_sample=False, eos_token_id=None)
    assert torch.equal(text, generated_by_hand(prompt, x, 3))


def test_a_prompt_without_anything_changes_nothing():
    backbone = tiny_backbone("llama")
    x = ids(2, 5)
    with torch.no_grad():
        want = backbone.model(x).logits
        for nothing in (None, bare_prompt(backbone)):
            with backbone.prompted(nothing) as prompted:
                assert torch.equal(backbone.model(x).logits, want)
                assert torch.equal(prompted(x).logits, want)


def test_exporting_inside_a_session_is_refused():
    backbone = tiny_backbone("llama")
    x = ids(2, 5)
    refused = pytest.raises(BackboneError, match=r"torch\.export of .* inside a session")
    with torch.no_grad(), backbone.prompted(make(backbone, "prefix")), refused:
        torch.export.export(backbone.model, (x,), {"use_cache": False}, strict=False)
