"""Sources with a picture: tokens by the backbone's own processor, and what a batch needs beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from softprompt.data import PicturedText, decode
from softprompt.errors import ConfigError, DataError, counted
from softprompt.tasks.examples import Example
from softprompt.tasks.language.chat import ChatForm
from softprompt.tasks.language.encoding import DecoderForm
from softprompt.tasks.mistakes import check_each

if TYPE_CHECKING:
    from softprompt.backbones import Backbone, PictureText


@dataclass(frozen=True)
class PicturedExample(Example):
    """One training pair whose source has a picture; the picture is read anew in every step.

    Args:
        record: with the picture.
    """

    record: PicturedText | None = None


class PicturedSources:
    """Reads the sources of records with pictures.

    Args:
        backbone: the frozen model with its processor.
        form: of sources and targets.
    """

    def __init__(self, backbone: "Backbone", form: DecoderForm):
        self._texts = backbone.picture_texts
        self._form = form

    def context(self, record: PicturedText) -> list[int]:
        """The tokens before the target, with those that stand for the picture."""
        return [*self._read(record).ids, *self._form.separator]

    def _read(self, record: PicturedText) -> "PictureText":
        where = f"record {record.id}"
        text = self._form.shortened(record.source)
        if self._texts.count(text) < self._texts.count(record.source):
            raise DataError(
                where,
                "a source that is cut before the place of its picture",
                "the place among the first tokens",
                "raise task.max_source_tokens, or write the picture's place first",
            )
        return self._texts.read(text, decode(record.load(), f"picture {record.picture}"), where)

    def beside(
        self, records: Sequence[PicturedText], n_written: Sequence[int], ids: Tensor, mask: Tensor
    ) -> dict[str, Tensor]:
        """What a batch of these records needs beside its token ids.

        Args:
            records: of the batch.
            n_written: of each, how many tokens at its end are its target's.
            ids: `[batch, seq]`.
            mask: 1 at real tokens, `[batch, seq]`.
        """
        return self._texts.beside([self._read(record) for record in records], n_written, ids, mask)


def check_pictures(records: Sequence[Any], backbone: "Backbone", form: Any) -> None:
    """Refuse records with pictures where the backbone or the settings cannot take them.

    Args:
        records: of a data set.
        backbone: the frozen model.
        form: of sources and targets.

    Raises:
        BackboneError: a backbone that reads no pictures, or one without a processor.
        ConfigError: a template around sources with pictures, or records with pictures and without.
        DataError: a picture or a text that cannot be used.
    """
    pictured = [record for record in records if isinstance(record, PicturedText)]
    if not pictured:
        return
    _ = backbone.picture_texts  # refuses by name
    if type(form) is not DecoderForm:
        which = "chat" if isinstance(form, ChatForm) else "template"
        got, do = f"a {which} around sources with pictures", f"leave task.{which} out"
        raise ConfigError(f"task.{which}", got, "a separator", do)
    if len(pictured) < len(records):
        got = f"{counted(len(pictured), 'record')} with a picture and {len(records) - len(pictured)} without"
        raise ConfigError("data", got, "a picture in every record, or in none", "split the data")
    sources = PicturedSources(backbone, form)
    check_each(pictured, sources.context)
