"""Train a prefix with `transformers.Trainer`: the prompt's parameters alone go to the optimizer.

python examples/trainer.py
"""

import tempfile

import torch
from transformers import Trainer, TrainingArguments

import softprompt

SENTENCES = ["The Blue Door serves Thai food.", "The Old Mill serves pasta.", "The Green Cup serves cakes."]


def main(name: str = "smollm2-135m", steps: int = 5) -> list[float]:
    """Returns the losses as the trainer logged them."""
    backbone = softprompt.load_backbone(name)
    prompt = softprompt.prefix_tuning(backbone, 8, reparameterization=None)
    optimizer = torch.optim.AdamW(prompt.parameters(), lr=1e-2, weight_decay=0.0)
    encoded = [backbone.tokenizer(text, return_tensors="pt")["input_ids"][0] for text in SENTENCES]
    rows = [{"input_ids": ids, "labels": ids} for ids in encoded]

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            max_steps=steps,
            per_device_train_batch_size=1,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            dataloader_pin_memory=False,
        )
        trainer = Trainer(backbone.model, arguments, train_dataset=rows, optimizers=(optimizer, None))
        with backbone.prompted(prompt):
            trainer.train()
        prompt.save(f"{folder}/prompt")  # a real script would choose a place that stays
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


if __name__ == "__main__":
    print(main())
