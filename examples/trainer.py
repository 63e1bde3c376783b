"""Train a prefix with `transformers.Trainer`, which is given a `PromptedModel`.

python examples/trainer.py
"""

import tempfile
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainingArguments

import softprompt

SENTENCES = ["The Blue Door serves Thai food.", "The Old Mill serves pasta.", "The Green Cup serves cakes."]


def main(name: str = "smollm2-135m", steps: int = 6) -> list[float]:
    """Returns the losses as the trainer logged them."""
    backbone = softprompt.load_backbone(name)
    prompt = softprompt.prefix_tuning(backbone, 8, reparameterization=None)
    model = softprompt.PromptedModel(backbone, prompt)
    encoded = [backbone.tokenizer(text, return_tensors="pt")["input_ids"][0] for text in SENTENCES]
    rows: Any = [{"input_ids": ids, "labels": ids} for ids in encoded]

    with tempfile.TemporaryDirectory() as folder:  # a real script would choose a place that stays
        arguments = TrainingArguments(
            folder,
            max_steps=steps,
            learning_rate=1e-2,
            per_device_train_batch_size=1,
            per_device_eval_batch_size=1,
            logging_steps=1,
            save_steps=steps // 2,
            report_to=[],
            dataloader_pin_memory=False,
        )
        trainer = Trainer(model, arguments, train_dataset=rows, eval_dataset=rows)
        print(f"evaluated before: {trainer.evaluate()['eval_loss']:.3f}")
        trainer.train()
        # A checkpoint is the prompt and its optimizer: resume_from_checkpoint goes on exactly from there.
        size = sum(path.stat().st_size for path in Path(folder, f"checkpoint-{steps // 2}").iterdir())
        print(f"checkpoint: {size:,} bytes; evaluated after: {trainer.evaluate()['eval_loss']:.3f}")

        model.save_pretrained(f"{folder}/prompt")
        model = softprompt.PromptedModel(backbone, softprompt.load_prompt(f"{folder}/prompt", backbone))
        question = backbone.tokenizer("The Red Barn serves", return_tensors="pt").to(backbone.device)
        written = model.generate(**question, max_new_tokens=8, do_sample=False)
        print(backbone.tokenizer.decode(written[0], skip_special_tokens=True))
    return [float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]


if __name__ == "__main__":
    print(main())
