"""Train a prefix with a plain torch loop, and use it with plain `generate`.

python examples/plain_loop.py
"""

import torch

import softprompt

PAIRS = [
    ("name : Blue Door | food : Thai", "The Blue Door serves Thai food."),
    ("name : Old Mill | food : pasta", "The Old Mill serves pasta."),
    ("name : Green Cup | food : cakes", "The Green Cup serves cakes."),
]


def main(name: str = "smollm2-135m", steps: int = 10) -> str:
    """Returns what the prefix makes of a table that it never saw."""
    backbone = softprompt.load_backbone(name)
    tokenizer = backbone.tokenizer
    prompt = softprompt.prefix_tuning(backbone, 8, reparameterization=None)
    optimizer = torch.optim.AdamW(prompt.parameters(), lr=1e-2, weight_decay=0.0)

    texts = [f"{source} -> {target}{tokenizer.eos_token}" for source, target in PAIRS]
    batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="right").to(backbone.device)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    with backbone.prompted(prompt):
        for step in range(steps):
            loss = backbone.model(**batch, labels=labels).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            print(f"step {step}: loss {loss.item():.3f}")

        question = tokenizer("name : Red Barn | food : sushi ->", return_tensors="pt").to(backbone.device)
        written = backbone.model.generate(**question, max_new_tokens=15, do_sample=False)  # type: ignore[operator]
    return str(tokenizer.decode(written[0], skip_special_tokens=True))


if __name__ == "__main__":
    print(main())
