"""sentence-transformers over a PromptedModel: what it encodes and trains equals pooling by hand."""

import copy

import pytest
import torch
from transformers import BertConfig, BertModel

import softprompt
from softprompt import PromptedModel
from support import by_loop
from support.by_loop import assert_same, moved
from support.prompts import random_prefix, soft_tokens
from support.tokenizer import word_piece

st = pytest.importorskip("sentence_transformers")
datasets = pytest.importorskip("datasets")
# By their names, so that a type checker asks for nothing where the library is absent.
losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
modules = pytest.importorskip("sentence_transformers.sentence_transformer.modules")

pytestmark = pytest.mark.filterwarnings("default")

TEXTS = ["blue spice", "the mill is in the city by the river", "food", "a cheap chinese restaurant"]


@pytest.fixture
def encoder(tmp_path):
    """A SentenceTransformer of a tiny BERT, and a backbone over the same model."""
    tokenizer = word_piece()
    torch.manual_seed(0)
    model = BertModel(
        BertConfig(
            vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=4, max_position_embeddings=64, initializer_range=0.2,
        )
    )  # fmt: skip
    model.save_pretrained(tmp_path / "tiny")
    tokenizer.save_pretrained(tmp_path / "tiny")
    transformer = modules.Transformer(str(tmp_path / "tiny"))
    whole = st.SentenceTransformer(modules=[transformer, modules.Pooling(32)], device="cpu")
    return whole, softprompt.load_backbone(transformer.model, tokenizer)


def pooled(backbone, prompt, texts):
    """Mean states of each text's own tokens, under the prompt; every text on its own."""
    rows = []
    for text in texts:
        with backbone.prompted(prompt):
            rows.append(
                backbone.model(**backbone.tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)
            )
    return torch.stack(rows)


@pytest.mark.parametrize("kind", [random_prefix, soft_tokens])
def test_encodes_under_the_prompt(encoder, kind):
    whole, backbone = encoder
    prompt = kind(backbone)
    bare = whole.encode(TEXTS, convert_to_tensor=True)
    whole[0].model = PromptedModel(backbone, prompt)
    with torch.no_grad():
        expected = pooled(backbone, prompt, TEXTS)
    for size in (1, 4):
        found = whole.encode(TEXTS, batch_size=size, convert_to_tensor=True, show_progress_bar=False)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert (found - bare).abs().max() > 1e-2
    assert {id(p) for p in whole.parameters()} == {id(p) for p in prompt.parameters()}


def test_its_trainer_equals_a_loop(encoder, tmp_path):
    whole, backbone = encoder
    prompt = random_prefix(backbone)
    begun, expected = copy.deepcopy(prompt), copy.deepcopy(prompt)
    whole[0].model = PromptedModel(backbone, prompt)
    anchors, positives = TEXTS, TEXTS[1:] + TEXTS[:1]
    arguments = st.SentenceTransformerTrainingArguments(
        str(tmp_path / "out"), max_steps=3, per_device_train_batch_size=4, learning_rate=by_loop.LR,
        lr_scheduler_type="constant", train_sampling_strategy="sequential", save_strategy="no", report_to=[],
        use_cpu=True, disable_tqdm=True, dataloader_pin_memory=False,
    )  # fmt: skip
    st.SentenceTransformerTrainer(
        model=whole,
        args=arguments,
        train_dataset=datasets.Dataset.from_dict({"anchor": anchors, "positive": positives}),
        loss=losses.MultipleNegativesRankingLoss(whole),
    ).train()

    def loss_of(_):
        a, b = (torch.nn.functional.normalize(pooled(backbone, expected, t)) for t in (anchors, positives))
        return torch.nn.functional.cross_entropy(20 * a @ b.T, torch.arange(4))

    by_loop.train(expected, loss_of, range(3))
    assert_same(prompt, expected, atol=2e-5)
    assert moved(prompt, begun) > 0.05
