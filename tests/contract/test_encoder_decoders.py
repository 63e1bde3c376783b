"""What encoder-decoders promise beside equal numbers: own lengths, own defaults, refusals by name."""

import pytest
import torch
from transformers import (
    LEDForConditionalGeneration,
    M2M100ForConditionalGeneration,
    PegasusXForConditionalGeneration,
    PreTrainedModel,
)
from transformers import WhisperForConditionalGeneration as Whisper

import softprompt
from softprompt.backbones.backbone import Backbone
from softprompt.errors import BackboneError, PromptError
from zoo.configurations import OVERRIDES, tiny_config


def tiny(model_class: type[PreTrainedModel]) -> PreTrainedModel:
    torch.manual_seed(0)
    config_class = model_class.config_class
    assert config_class is not None
    return model_class(tiny_config(config_class, **OVERRIDES.get(config_class.model_type, {}))).eval()


@pytest.fixture(scope="module")
def whisper() -> Backbone:
    return softprompt.load_backbone(tiny(Whisper))


def sound(backbone: Backbone, batch: int = 1) -> torch.Tensor:
    config = backbone.model.config
    shape = (batch, config.num_mel_bins, 2 * config.max_source_positions)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def test_a_prefix_behind_a_sound_is_in_the_decoder_and_unshifted(whisper: Backbone):
    card = softprompt.prefix_tuning(whisper, 3).card
    assert set(card.sites) == {"decoder", "cross"}
    assert (card.positions, card.initialization) == ("unshifted", "random")


def test_soft_tokens_before_a_sound_are_refused(whisper: Backbone):
    with pytest.raises(PromptError, match=r"which reads sounds.*prefix_tuning"):
        softprompt.prompt_tuning(whisper, 3, initialization="random")


def test_tokens_are_no_start_of_a_prefix_behind_a_sound(whisper: Backbone):
    with pytest.raises(BackboneError, match="reads sounds, expected 'random'"):
        softprompt.prefix_tuning(whisper, 3, initialization="vocabulary")


@pytest.mark.parametrize("ask", ["read", "labelled_logits"])
def test_a_text_in_place_of_a_sound_is_refused(whisper: Backbone, ask: str):
    ids = torch.tensor([[6, 7, 8]])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    further = [] if ask == "read" else [torch.ones_like(ids, dtype=torch.bool)]
    with pytest.raises(BackboneError, match="whose encoder reads sounds"):
        getattr(whisper, ask)(inputs, *further)


def test_a_text_behind_a_shifted_prefix_has_as_many_positions_as_the_decoder(whisper: Backbone):
    prompt = softprompt.prefix_tuning(whisper, 3, positions="shifted")
    ids = torch.full((1, whisper.model.config.max_target_positions - 2), 7)
    with whisper.prompted(prompt), pytest.raises(BackboneError, match="at most 256 tokens together"):
        whisper.model(input_features=sound(whisper), decoder_input_ids=ids)


def test_sounds_under_different_prefixes_are_written_in_one_batch(whisper: Backbone):
    prompts = [softprompt.prefix_tuning(whisper, n, seed=n) for n in (2, 4)]
    features, options = sound(whisper, 2), {"max_new_tokens": 4, "num_beams": 2, "do_sample": False}
    with whisper.prompted(prompts) as prompted:
        together = prompted.generate(input_features=features, **options)
    for row, prompt in enumerate(prompts):
        with whisper.prompted(prompt) as prompted:
            alone = prompted.generate(input_features=features[row : row + 1], **options)
        assert torch.equal(together[row, : alone.shape[1]], alone[0])


def test_global_attention_and_weights_are_of_the_text_alone():
    model = tiny(LEDForConditionalGeneration)
    backbone = softprompt.load_backbone(model)
    prompt = softprompt.prompt_tuning(backbone, 3, initialization="random")
    ids = torch.arange(6, 15)[None]
    first = torch.zeros_like(ids)
    first[0, 0] = 1
    mask = torch.ones_like(ids)
    with torch.no_grad(), backbone.prompted(prompt):
        came = model(
            input_ids=ids,
            attention_mask=mask,
            global_attention_mask=first,
            decoder_input_ids=ids[:, :4],
            output_attentions=True,
        )
    assert came.encoder_last_hidden_state.shape[1] == 9
    assert {weights.shape[2] for weights in came.encoder_attentions} == {9}
    vectors = prompt().vectors  # type: ignore[union-attr]
    embeds = torch.cat([vectors[None], model.get_input_embeddings()(ids)], dim=1)
    with torch.no_grad():
        wanted = model(
            inputs_embeds=embeds,
            attention_mask=torch.ones(1, 12, dtype=torch.long),
            global_attention_mask=torch.cat([torch.zeros(1, 3, dtype=torch.long), first], dim=1),
            decoder_input_ids=ids[:, :4],
        )
    torch.testing.assert_close(came.logits, wanted.logits, rtol=1e-4, atol=1e-5)


def test_an_encoder_that_attends_in_its_own_way_still_makes_an_encoder_decoder():
    backbone = softprompt.load_backbone(tiny(PegasusXForConditionalGeneration))
    assert backbone.stacks == {"encoder", "decoder"}
    prompt = softprompt.prefix_tuning(backbone, 3, initialization="random")
    assert prompt.card.positions == "unshifted"  # the papers' own for an encoder-decoder
    with pytest.raises(PromptError, match=r"'encoder', expected any of \['decoder', 'cross'\]"):
        softprompt.prefix_tuning(backbone, 3, sites=["encoder"])


def test_slots_behind_padding_are_refused_where_embeddings_are_numbered_by_columns():
    backbone = softprompt.load_backbone(tiny(M2M100ForConditionalGeneration))
    prompt = softprompt.p_tuning(backbone, 2, initialization="random")
    ids, mask = torch.tensor([[0, -1, -2, 7, 8]]), torch.tensor([[0, 1, 1, 1, 1]])
    with backbone.prompted(prompt):
        backbone.model(input_ids=ids[:, 1:], attention_mask=mask[:, 1:], decoder_input_ids=ids[:, 3:])
        with pytest.raises(BackboneError, match="M2M100Encoder, which numbers columns"):
            backbone.model(input_ids=ids, attention_mask=mask, decoder_input_ids=ids[:, 3:])
