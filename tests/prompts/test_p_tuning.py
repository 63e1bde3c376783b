"""P-Tuning's encoders: seeded, exact at their start, and gone after baking."""

import pytest
import torch

import softprompt
from softprompt.backbones.load import load_backbone
from softprompt.errors import ConfigError, PromptError
from softprompt.prompts import methods
from softprompt.prompts.reparameterize import LSTM, MLP
from support.prompts import close
from support.tiny import tiny_backbone, tiny_model
from support.tokenizer import byte_level

ENCODERS = pytest.mark.parametrize("encoder", ["lstm", "mlp", None])
IDS = torch.tensor([[-1, 5, 6, -2, 7, -3]])


@pytest.fixture(scope="module")
def llama():
    return tiny_backbone("llama")


@pytest.fixture(scope="module")
def worded():
    model = tiny_model("llama")
    tokenizer = byte_level()
    model.resize_token_embeddings(len(tokenizer))
    return load_backbone(model, tokenizer)


@ENCODERS
def test_baked_is_not_baked(llama, encoder, tmp_path):
    prompt = softprompt.p_tuning(llama, 3, encoder=encoder)
    baked = prompt.bake()
    prompt.save(tmp_path / "prompt")
    loaded = softprompt.load_prompt(tmp_path / "prompt", llama)
    logits = []
    for one in (prompt, baked, loaded):
        with torch.no_grad(), llama.prompted(one):
            logits.append(llama.model(input_ids=IDS).logits)
    assert torch.equal(logits[0], logits[1]) and torch.equal(logits[0], logits[2])
    assert prompt.n_stored_parameters == baked.n_trained_parameters == 3 * 32
    assert (prompt.n_trained_parameters > 3 * 32) == (encoder is not None)
    assert loaded.card.slots == "in_place" and loaded.card.reparameterization == encoder
    assert not any("lstm" in name for name in baked.state_dict())


def test_the_lstm_encoder_is_the_one_of_the_paper(llama):
    prompt = softprompt.p_tuning(llama, 3)
    block = prompt.blocks[0]
    assert isinstance(block, LSTM)
    # E 3 x 32; two bidirectional layers of 16; 32 -> 32, ReLU, 32 -> 32
    lstm = 2 * 2 * (4 * 16 * 32 + 4 * 16 * 16 + 2 * 4 * 16)
    assert prompt.n_trained_parameters == 3 * 32 + lstm + 2 * (32 * 32 + 32)
    by_hand = block.embedding[None]
    for layer in (0, 1):  # the cell written out, in both directions
        both = []
        for suffix in ("", "_reverse"):
            a, b, c, d = (
                getattr(block.lstm, f"{what}_l{layer}{suffix}")
                for what in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            steps = by_hand[0].flip(0) if suffix else by_hand[0]
            h = cell = torch.zeros(16)
            out = []
            for x in steps:
                i, f, g, o = (a @ x + c + b @ h + d).chunk(4)
                cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
                h = o.sigmoid() * cell.tanh()
                out.append(h)
            both.append(torch.stack(out[::-1] if suffix else out))
        by_hand = torch.cat(both, -1)[None]
    first, relu, last = block.network
    close(prompt().vectors, last(relu(first(by_hand[0]))))
    assert isinstance(relu, torch.nn.ReLU)


def test_the_mlp_encoder(llama):
    prompt = softprompt.p_tuning(llama, 3, encoder="mlp", width=20, depth=2)
    block = prompt.blocks[0]
    assert isinstance(block, MLP)
    assert prompt.n_trained_parameters == 3 * 32 + (32 * 20 + 20) + (20 * 20 + 20) + (20 * 32 + 32)
    assert sum(isinstance(m, torch.nn.ReLU) for m in block.modules()) == 2
    assert not any(isinstance(m, torch.nn.Tanh) for m in block.modules())


def test_width_and_depth_of_the_lstm(llama):
    few_shot = softprompt.p_tuning(llama, 2, width=64, depth=1)
    lstm = 2 * (4 * 32 * 32 + 4 * 32 * 32 + 2 * 4 * 32)
    assert few_shot.n_trained_parameters == 2 * 32 + lstm + (64 * 32 + 32) + (32 * 32 + 32)


@ENCODERS
def test_the_same_seed_is_the_same_prompt_and_the_global_generator_stays(llama, encoder):
    state = torch.get_rng_state()
    a, b, c = (softprompt.p_tuning(llama, 3, encoder=encoder, seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    for name, x in a.state_dict().items():
        y, z = b.state_dict()[name], c.state_dict()[name]
        assert torch.equal(x, y) and not torch.equal(x, z)
    close(c().vectors, softprompt.p_tuning(llama, 3, encoder=encoder, seed=2)().vectors, 0)


def test_random_weights_are_torchs_own_ranges(llama):
    block = softprompt.p_tuning(llama, 50, seed=3).blocks[0]
    assert isinstance(block, LSTM)
    for weight in block.lstm.parameters():
        assert 0.2 < weight.abs().max() <= 16**-0.5
    assert 0.9 < block.embedding.std() < 1.1
    assert 0.9 < softprompt.p_tuning(llama, 50, encoder=None)().vectors.std() < 1.1


@ENCODERS
@pytest.mark.parametrize("initialization", ["vocabulary", "zero", "text: Blue Spice"])
def test_the_encoder_begins_exactly_at_a_given_start(worded, encoder, initialization):
    n = len(worded.token_ids("Blue Spice")) if initialization.startswith("text") else 3
    prompt = softprompt.p_tuning(worded, n, encoder=encoder, initialization=initialization, seed=4)
    direct = softprompt.p_tuning(worded, n, encoder=None, initialization=initialization, seed=4)
    assert torch.equal(prompt().vectors, direct().vectors)
    if initialization.startswith("text"):
        assert torch.equal(prompt().vectors, worded.embed(worded.token_ids("Blue Spice")))
    # ... and can leave it: the first step reaches the last layer, the second all of them.
    optimizer = torch.optim.SGD(prompt.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        (prompt().vectors - 1).square().sum().backward()
        optimizer.step()
    assert all(p.grad.abs().max() > 0 for p in prompt.parameters())


def test_it_begins_from_another_prompt(llama, tmp_path):
    first = softprompt.prompt_tuning(llama, 3, initialization="random", seed=7)
    first.save(tmp_path / "first")
    for start in (first, f"prompt: {tmp_path / 'first'}"):
        again = softprompt.p_tuning(llama, 3, initialization=start)
        assert torch.equal(again().vectors, first().vectors)
    with pytest.raises(PromptError, match=r"prompt\.length: got 4, expected 3"):
        softprompt.p_tuning(llama, 4, initialization=first)


def test_dropout_only_while_training(llama):
    prompt = softprompt.p_tuning(llama, 3, dropout=0.5)
    assert not torch.equal(prompt.train()().vectors, prompt().vectors)
    assert torch.equal(prompt.eval()().vectors, prompt().vectors)


def test_a_template_says_how_many_slots_and_stays_on_the_card(llama, tmp_path):
    text = "[soft*3] {subject} [soft#a] [blank] [soft#a]"
    prompt = softprompt.p_tuning(llama, text)
    assert prompt.length == 4
    prompt.save(tmp_path / "prompt")
    card = softprompt.load_prompt(tmp_path / "prompt", llama).card
    assert (card.template, card.slots, card.length) == (text, "in_place", 4)
    assert softprompt.p_tuning(llama, 4).card.template is None


@ENCODERS
def test_slots_begin_from_the_words_that_the_template_names(worded, encoder):
    tokens = worded.token_ids(" Blue")
    text = f"[soft*2] {{subject}} [soft*{len(tokens)}: Blue] [blank]"
    prompt = softprompt.p_tuning(worded, text, encoder=encoder, initialization="zero")
    vectors = prompt().vectors
    assert torch.equal(vectors[2:], worded.embed(tokens)) and not vectors[:2].any()
    for initialization in ("text: Blue", prompt):
        with pytest.raises(PromptError, match="and words for some in the template, expected one of the two"):
            softprompt.p_tuning(worded, f"[soft*{len(worded.token_ids('Blue'))}: Blue] {{s}} [blank]",
                                initialization=initialization)  # fmt: skip
    random = softprompt.p_tuning(worded, text, encoder=encoder, seed=3)().vectors
    assert torch.equal(random[2:], worded.embed(tokens)) and random[:2].abs().max() > 0.5


def test_settings_build_it_with_the_tasks_template(llama):
    settings = methods.METHODS["p_tuning"].settings()
    text = "[soft] {subject} [soft] [blank]"
    prompt = methods.build_prompt(llama, settings, 1, examples=[[5]], template=text)
    assert (prompt.length, prompt.card.template, prompt.card.reparameterization) == (2, text, "lstm")
    own = methods.build_prompt(llama, methods.METHODS["p_tuning"].settings(template=3), 1, template=text)
    assert (own.length, own.card.template) == (3, None)
    with pytest.raises(
        PromptError, match=r"method\.template: got no template for p_tuning, expected a template\."
    ):
        methods.build_prompt(llama, settings, 1)
    words = "{premise} [blank] {hypothesis}"
    settings = methods.METHODS["null_prompt"].settings()
    null = methods.build_prompt(tiny_backbone("bert_mlm"), settings, 1, template=words)
    assert null.card.template == words


@pytest.mark.parametrize(
    ("template", "options", "message"),
    [
        (0, {}, r"p_tuning\.template: got 0, expected at least 1 or a text"),
        (-2, {}, r"got -2, expected at least 1"),
        (True, {}, r"got True, expected a whole number or a text"),
        (2.5, {}, r"p_tuning\.template: got 2\.5, expected a whole number or a text"),
        ("{subject} [blank]", {}, r"got '\{subject\} \[blank\]', expected \[soft\].* Use null_prompt"),
        (3, {"encoder": "gru"}, r"p_tuning\.encoder: got 'gru', expected one of 'lstm' or 'mlp', or None"),
        (
            3,
            {"encoder": None, "width": 8},
            r"p_tuning\.width: got 8, expected None, since there is no network",
        ),
        (3, {"encoder": None, "depth": 1}, r"p_tuning\.depth: got 1, expected None"),
        (3, {"width": 33}, r"p_tuning\.width: got 33, expected an even number"),
        (3, {"width": 0}, r"p_tuning\.width: got 0, expected at least"),
        (3, {"depth": 0, "encoder": "mlp"}, r"p_tuning\.depth: got 0, expected at least 1"),
        (3, {"dropout": 1.0}, r"p_tuning\.dropout: got 1\.0, expected less than 1"),
        (3, {"initialization": "examples:2"}, r"got 'examples:2', expected 'random', 'vocabulary'"),
        (3, {"initialization": "magic"}, r"method\.initialization: got 'magic'"),
        (3, {"tune": "prejudices"}, r"p_tuning\.tune: got 'prejudices', expected 'all', 'bitfit'"),
    ],
)
def test_what_cannot_be_is_refused(llama, template, options, message):
    with pytest.raises(PromptError, match=message):
        softprompt.p_tuning(llama, template, **options)


def test_a_broken_template_and_a_text_of_another_length_are_refused(worded):
    with pytest.raises(ConfigError, match=r"p_tuning\.template"):
        softprompt.p_tuning(worded, "[soft] {subject}")
    n = len(worded.token_ids("Blue Spice"))
    message = rf"method\.initialization: got a text of {n} tokens, expected {n + 1}, one for each slot"
    with pytest.raises(PromptError, match=message):
        softprompt.p_tuning(worded, n + 1, initialization="text: Blue Spice")
