"""Methods and attributes, beside the calls, that trainers and pipelines of transformers use of a model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.backbones.backbone import Backbone
from softprompt.backbones.runtime import active, enable_checkpointing, switch_checkpointing
from softprompt.errors import PromptError
from softprompt.prompts import Prompt


class ModelSurface(nn.Module):
    """Saving, sizes and gradient checkpointing of a frozen model under prompts.

    Attributes:
        backbone: the frozen model.
        prompts: the different prompts of rows.
    """

    backbone: Backbone
    prompts: nn.ModuleList

    @property
    def prompt(self) -> Prompt:
        """The one prompt."""
        raise NotImplementedError

    def save_pretrained(
        self, save_directory: Path | str, *, is_main_process: bool = True, state_dict: Any = None,
        safe_serialization: bool = True,
    ) -> Path | None:  # fmt: skip
        """Write a prompt folder for `softprompt.load_prompt`; the frozen model is not written.

        Args:
            save_directory: the folder.
            is_main_process: whether this process writes.
            state_dict: the prompt's own tensors, unchanged, or None.
            safe_serialization: must be True, since nothing is pickled.

        Returns:
            The folder, or None where this process does not write.

        Raises:
            PromptError: several prompts or none, other tensors, or a folder that cannot be written.
        """
        if state_dict is not None and not self._owns(state_dict):
            raise PromptError(
                "save_pretrained",
                "a state_dict of other tensors",
                "the prompt's own",
                "load_state_dict first",
            )
        if not safe_serialization:
            raise PromptError("save_pretrained", "safe_serialization=False", "True: nothing is pickled")
        return self.prompt.save(save_directory) if is_main_process else None

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Put the one prompt into a repository of the hub; the frozen model is not written.

        Args:
            repo_id: `user/name`.
            options: as of `Prompt.push_to_hub`.

        Raises:
            PromptError: several prompts or none, or as `Prompt.push_to_hub`.
        """
        return self.prompt.push_to_hub(repo_id, **options)

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """Refused: loading a prompt needs a backbone."""
        raise PromptError(
            "PromptedModel.from_pretrained",
            "a folder alone",
            "a backbone and a prompt",
            "PromptedModel(backbone, softprompt.load_prompt(folder, backbone))",
        )

    # -- attributes of transformers' models ------------------------------------------------------

    is_quantized = is_loaded_in_8bit = is_loaded_in_4bit = False
    """Even if the frozen model is quantised, the prompt that is trained is not."""
    quantization_method = hf_quantizer = None

    @property
    def config(self) -> Any:
        """The frozen model's."""
        return self.backbone.model.config

    @config.setter
    def config(self, value: Any) -> None:
        self.backbone.model.config = value

    @property
    def generation_config(self) -> Any:
        """The frozen model's."""
        return self.backbone.model.generation_config

    @generation_config.setter
    def generation_config(self, value: Any) -> None:
        self.backbone.model.generation_config = value

    @property
    def device(self) -> torch.device:
        """The device of the backbone's input embeddings."""
        return self.backbone.device

    @property
    def dtype(self) -> torch.dtype:
        """The precision in which the backbone computes; the prompt is always trained in float32."""
        return self.backbone.dtype

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """The number of parameters of the frozen model and the prompt together, or of those that are trained.

        Args:
            only_trainable: count only the parameters of the prompt that take gradients.
            exclude_embeddings: leave the model's embeddings out.
        """
        own = sum(p.numel() for p in self.parameters() if p.requires_grad or not only_trainable)
        if only_trainable:
            return own
        return own + self.backbone.model.num_parameters(exclude_embeddings=exclude_embeddings)

    def get_output_embeddings(self) -> nn.Module | None:
        """The frozen model's vocabulary matrix.

        Raises:
            PromptError: a prompt that trains this matrix, whose changes the module itself does not have.
        """
        matrix = self.backbone.model.get_output_embeddings()
        if matrix is not None and any(self._changes(matrix, one) for one in self.prompts):
            raise PromptError(
                "get_output_embeddings",
                f"a prompt that trains the vocabulary matrix of {self.backbone.spec.name}",
                "a prompt that leaves it frozen, for callers that multiply by it themselves (as TRL does)",
                "train with Trainer or a loop of your own, which use the model's logits",
            )
        return matrix

    def add_model_tags(self, tags: Sequence[str] | str) -> None:
        """Add tags for a model card to `model_tags`."""
        new = [tags] if isinstance(tags, str) else list(tags)
        self.model_tags = list(dict.fromkeys([*self.__dict__.get("model_tags", []), *new]))

    @property
    def is_activation_checkpointing(self) -> bool:
        """Whether layers of the frozen model recompute their activations."""
        return bool(active(self.backbone.map.checkpointable))

    @property
    def is_gradient_checkpointing(self) -> bool:
        """The older name of `is_activation_checkpointing`."""
        return self.is_activation_checkpointing

    def activation_checkpointing_enable(
        self, activation_checkpointing_kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        """Recompute the frozen model's activations in the backward pass while this module trains.

        Args:
            activation_checkpointing_kwargs: for torch's `checkpoint`; `use_reentrant` must be False.
            options: further options of transformers (`every_n_layers`, `offload`).

        Raises:
            BackboneError: the reentrant variant, or a family without gradient checkpointing.
        """
        enable_checkpointing(self.backbone.model, activation_checkpointing_kwargs, **options)

    def gradient_checkpointing_enable(
        self, gradient_checkpointing_kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        """The older name of `activation_checkpointing_enable`."""
        self.activation_checkpointing_enable(gradient_checkpointing_kwargs, **options)

    def activation_checkpointing_disable(self) -> None:
        """Store activations again instead of recomputing them."""
        switch_checkpointing(self.backbone.model, "disable")()

    def gradient_checkpointing_disable(self) -> None:
        """The older name of `activation_checkpointing_disable`."""
        self.activation_checkpointing_disable()

    # -- inside ----------------------------------------------------------------------------------

    def _owns(self, state: Mapping[str, Tensor]) -> bool:
        own = self.state_dict()
        return own.keys() == state.keys() and all(torch.equal(own[k], state[k].to(own[k])) for k in own)

    def _changes(self, matrix: nn.Module, prompt: Any) -> bool:
        frozen = self.backbone.frozen_tensors() if prompt.card.weights else {}
        theirs = {id(tensor) for tensor in matrix.parameters()}
        named = dict(self.backbone.model.named_modules())
        return any(id(frozen[name]) in theirs for name in prompt.card.weights) or any(
            named.get(name) is matrix for name in prompt.inserts
        )
