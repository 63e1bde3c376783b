"""The hub: prompts are put into repositories there, and fetched from them, by `huggingface_hub`.

Of a repository only the card and the tensors of a prompt are ever fetched, whatever else it holds.
"""

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from softprompt.errors import PromptError, shortened
from softprompt.files.hub_errors import address, endpoint, explained, status_of
from softprompt.files.hub_names import is_repository_name
from softprompt.files.model_card import readme_of
from softprompt.files.prompt_card import PromptCard
from softprompt.files.prompt_folder import (
    CARD,
    TENSORS,
    expanded,
    is_prompt_folder,
    read_prompt,
    write_prompt,
)
from softprompt.files.readme_file import MODEL_CARD, is_made, read_readme

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_COMMIT = re.compile("[0-9a-f]{40}")


def fetch_prompt(repository: str, revision: str | None = None, token: str | None = None) -> Path:
    """The folder of a repository's prompt in the hub's cache on this machine.

    What is there already is not fetched again, and without a network it is taken as it is.

    Args:
        repository: `user/name`.
        revision: a branch, a tag or a commit; None is the main branch.
        token: an access token; None is the one that is logged in, if any.

    Raises:
        PromptError: no such repository or revision, one without a prompt, or the hub cannot be asked.
    """
    _check(repository, token)
    with explained(repository, revision, token, "read"):
        from huggingface_hub import hf_hub_download

        options: dict[str, Any] = {"endpoint": endpoint(), "token": token, "library_name": "softprompt"}
        card = Path(hf_hub_download(repository, CARD, revision=revision, **options))
        # Of the card's own commit, in case the branch moves on in between.
        hf_hub_download(repository, TENSORS, revision=card.parent.name, **options)
    return card.parent


def push_prompt(
    folder: Path,
    card: PromptCard,
    repository: str,
    base_model: str | None,
    *,
    readme: str | None = None,
    private: bool | None = None,
    revision: str | None = None,
    message: str | None = None,
    token: str | None = None,
) -> str:
    """Put a prompt folder into a repository, in one commit with a model card.

    The repository is made where there is none. A README.md there that somebody wrote or changed stays.

    Args:
        folder: with the two files of a prompt.
        card: of the prompt.
        repository: `user/name`.
        base_model: the backbone's hub id, for the model card.
        readme: a model card to put there instead.
        private: of the repository; None is the owner's default for a new one, and leaves another as it is.
        revision: the branch, made where there is none; None is the main one.
        message: of the commit.
        token: an access token; None is the one that is logged in.

    Returns:
        The address of the commit's files.

    Raises:
        PromptError: a name or token that the hub does not take, no right to write, a repository that is not
            private although it should be (or the other way round), or the hub cannot be asked.
    """
    _check(repository, token)
    if revision is not None and _COMMIT.fullmatch(revision):
        raise PromptError("revision", f"the commit {revision}", "a branch to push to")
    if message is not None and not message.strip():
        raise PromptError("message", "an empty text", "the commit's message, or None")
    with explained(repository, revision, token, "write"):
        from huggingface_hub import CommitOperationAdd, HfApi

        api = HfApi(endpoint=endpoint(), token=token, library_name="softprompt")
        _make(api, repository, private)
        if revision is not None and not revision.startswith("refs/"):
            api.create_branch(repository, branch=revision, exist_ok=True)
        if readme is None and not _has_own_readme(api, repository, revision):
            readme = readme_of(card, repository, base_model)
        _check_no_token(folder / CARD, readme, token)
        files: dict[str, Any] = {CARD: folder / CARD, TENSORS: folder / TENSORS}
        files |= {} if readme is None else {MODEL_CARD: readme.encode()}
        done = api.create_commit(
            repository,
            [CommitOperationAdd(name, content) for name, content in files.items()],
            commit_message=message or f"A prompt of softprompt: {card.method}",
            revision=revision,
        )
    return f"{address()}/{repository}/tree/{done.oid}"


def push_folder(
    folder: Path,
    repository: str,
    hub_id_of: Callable[[PromptCard], str | None],
    *,
    private: bool | None = None,
    revision: str | None = None,
    message: str | None = None,
) -> str:
    """Put a prompt that lies in a folder into a repository, as `push_prompt`.

    A README.md beside the prompt that somebody wrote or changed is its model card.

    Args:
        folder: of the prompt, which is read and checked first.
        hub_id_of: the hub id of the card's backbone.

    Raises:
        PromptError: a broken prompt, or as `push_prompt`.
    """
    tensors, card = read_prompt(folder)
    with tempfile.TemporaryDirectory() as place:
        # What was read and checked is what is pushed, also while another process saves there.
        return push_prompt(
            write_prompt(place, tensors, card), card, repository, hub_id_of(card),
            readme=own_readme(folder), private=private, revision=revision, message=message,
        )  # fmt: skip


def pull_folder(repository: str, out: Path | None, revision: str | None = None) -> tuple[Path, str]:
    """Write a repository's prompt into a folder, where it is checked as a whole.

    Args:
        repository: `user/name`.
        out: the folder; None is `name`.
        revision: a branch, a tag or a commit; None is the main branch.

    Returns:
        The folder, and the address of the files.

    Raises:
        PromptError: another prompt is there already, or as `fetch_prompt` and `read_prompt`.
    """
    _check(repository, None)
    folder = expanded(Path(repository.partition("/")[2]) if out is None else out)
    fetched = fetch_prompt(repository, revision)
    tensors, card = read_prompt(fetched)
    if is_prompt_folder(folder) and not _same(folder, fetched):
        raise PromptError(
            str(folder),
            "a folder with another prompt",
            "a new folder",
            "name another one, or remove this one",
        )
    return write_prompt(folder, tensors, card), f"{address()}/{repository}/tree/{fetched.name}"


def own_readme(folder: Path) -> str | None:
    """The README.md beside a prompt that somebody wrote or changed; None where there is none."""
    text = read_readme(folder / MODEL_CARD)
    return None if text is None or is_made(text) else text


def _same(folder: Path, other: Path) -> bool:
    (tensors, card), (others, another) = read_prompt(folder), read_prompt(other)
    named = tensors.keys() == others.keys() and card == another
    return named and all(torch.equal(tensor, others[name]) for name, tensor in tensors.items())


def _check(repository: str, token: str | None) -> None:
    if not is_repository_name(repository):
        got = f"'{shortened(str(repository), 200)}'"
        raise PromptError("the hub's repository", got, "user/name, of letters, digits, '-', '_' and '.'")
    # Otherwise the header that holds it is refused, in a message that quotes it.
    if token is not None and (not isinstance(token, str) or not re.fullmatch(r"[!-~]+", token)):
        raise PromptError("token", "a text that no access token can be", "a token of the hub, or None")


def _check_no_token(card: Path, readme: str | None, token: str | None) -> None:
    """Refuse to publish the token itself."""
    if token is not None and (token.encode() in card.read_bytes() or token in (readme or "")):
        raise PromptError(
            "push", "a prompt whose card or README.md holds the access token", "a card without it"
        )


def _make(api: "HfApi", repository: str, private: bool | None) -> None:
    """Make the repository where there is none; one that is there must be as private as it is asked to be."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        api.create_repo(repository, private=private)
        return
    except HfHubHTTPError as error:
        # 409: it is there. Else the token may not make repositories, but perhaps write to this one.
        if status_of(error) not in (401, 402, 403, 409):
            raise
        try:
            now = bool(api.repo_info(repository).private)
        except HfHubHTTPError:
            raise error from None
    if private is None or private == now:
        return
    is_now, wanted = ("private", "public") if now else ("public", "private")
    raise PromptError(
        f"{repository}: private",
        f"a repository that is {is_now}",
        f"one that is {wanted}",
        f"change it in its settings on the hub ({address()}/{repository}/settings), or leave this out",
    )


def _has_own_readme(api: "HfApi", repository: str, revision: str | None) -> bool:
    """Whether somebody wrote or changed the README.md of a repository."""
    from huggingface_hub.errors import EntryNotFoundError

    with tempfile.TemporaryDirectory() as place:
        try:
            path = api.hf_hub_download(repository, MODEL_CARD, revision=revision, local_dir=place)
        except EntryNotFoundError:
            return False
        return not is_made(read_readme(Path(path)) or "")
