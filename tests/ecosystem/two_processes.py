"""Run by test_accelerate.py in two processes: Trainer, then a loop over accelerate; each keeps its prompt."""

import gc
import sys

import torch
from accelerate import Accelerator
from transformers import Trainer, TrainingArguments

from softprompt import PromptedModel
from softprompt.backbones import Backbone
from support import by_loop
from support.prompts import random_prefix
from support.tiny import tiny_backbone


def main(folder: str) -> None:
    """Writes one file for each process and way."""
    torch.set_num_threads(1)
    backbone = tiny_backbone("llama")
    by_trainer(backbone, folder)
    by_accelerate(backbone, folder)
    # torch's DDP is let go of before its group: the other way round it takes the group down with the
    # interpreter's lock held, and waits now and then for a thread that wants that lock.
    gc.collect()
    torch.distributed.destroy_process_group()


def by_trainer(backbone: Backbone, folder: str) -> None:
    """What Trainer makes of a prompt begun differently in each process: what counts is the first one's."""
    arguments = TrainingArguments(
        folder, max_steps=4, per_device_train_batch_size=1, learning_rate=by_loop.LR,
        lr_scheduler_type="constant", train_sampling_strategy="sequential", save_strategy="no", report_to=[],
        use_cpu=True, disable_tqdm=True, dataloader_pin_memory=False,
    )  # fmt: skip
    rank = arguments.process_index
    prompt = random_prefix(backbone, seed=1 + rank)
    trainer = Trainer(PromptedModel(backbone, prompt), arguments, train_dataset=by_loop.examples())
    trainer.train()
    assert type(trainer.model_wrapped).__name__ == "DistributedDataParallel"
    torch.save(prompt.state_dict(), f"{folder}/trainer-{rank}.pt")


def by_accelerate(backbone: Backbone, folder: str) -> None:
    """The same by a loop over accelerate."""
    accelerator = Accelerator(cpu=True)
    rank = accelerator.process_index
    prompt = random_prefix(backbone, seed=1 + rank)
    optimizer = torch.optim.AdamW(prompt.parameters(), lr=by_loop.LR, weight_decay=0.0)
    model, optimizer = accelerator.prepare(PromptedModel(backbone, prompt), optimizer)
    for batch in by_loop.batches(by_loop.examples(), 2, 4):
        mine = {name: tensor[rank : rank + 1] for name, tensor in batch.items()}
        accelerator.backward(model(**mine).loss)
        accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    torch.save(prompt.state_dict(), f"{folder}/accelerate-{rank}.pt")


if __name__ == "__main__":
    main(sys.argv[1])
