"""The hub: prompts are put into repositories there, and fetched from them, by `huggingface_hub`.

Of a repository only the card and the tensors of a prompt are ever fetched, whatever else it holds.
"""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softprompt.errors import PromptError, first_line, shortened
from softprompt.files.hub_names import is_repository_name
from softprompt.files.model_card import MODEL_CARD, is_made, read_readme, readme_of
from softprompt.files.prompt_card import PromptCard
from softprompt.files.prompt_folder import CARD, TENSORS

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_LOGIN = "log in with `hf auth login`, or set HF_TOKEN"

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
    with _explained(repository, revision, token, "read"):
        from huggingface_hub import hf_hub_download

        options: dict[str, Any] = {"endpoint": _endpoint(), "token": token, "library_name": "softprompt"}
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
    with _explained(repository, revision, token, "write"):
        from huggingface_hub import CommitOperationAdd, HfApi

        api = HfApi(endpoint=_endpoint(), token=token, library_name="softprompt")
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
    return f"{_endpoint()}/{repository}/tree/{done.oid}"


def _endpoint() -> str:
    """The hub's address, as it is set when it is asked."""
    from huggingface_hub import constants

    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


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
        if _status(error) not in (401, 402, 403, 409):
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
        f"change it in its settings on the hub ({_endpoint()}/{repository}/settings), or leave this out",
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


@contextmanager
def _explained(repository: str, revision: str | None, token: str | None, use: str) -> Iterator[None]:
    """Turn whatever the hub or the way to it raises into a PromptError that holds no token."""
    try:
        yield
    except PromptError:
        raise
    # What the network raises depends on the library beneath huggingface_hub.
    except Exception as error:
        got, expected, do = _reasons(error, repository, revision, use)
        raise PromptError(f"{repository} on the hub", _without(got, token), expected, do) from None


def _reasons(error: Exception, repository: str, revision: str | None, use: str) -> tuple[str, str, str]:
    """What came, what was expected and what to do."""
    from huggingface_hub import errors

    address = f"{_endpoint()}/{repository}"
    if type(error) is RuntimeError and isinstance(error.__cause__, Exception):  # while a large file is sent
        error = error.__cause__
    if isinstance(error, errors.GatedRepoError):
        return "a gated repository", "leave to read it", f"ask for access at {address}, and {_LOGIN}"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"no revision '{revision}'", "a branch, a tag or a commit of it", f"see {address}"
    if isinstance(error, errors.LocalEntryNotFoundError):
        cause = error.__cause__
        if cause is not None and (status := _status(cause)):
            return f"an answer {status} of {_endpoint()}", "the files of a prompt", "try again later"
        got = "no network, or an offline mode (HF_HUB_OFFLINE)"
        if cause is not None and type(cause).__name__ != "OfflineModeIsEnabled":
            got = f"no answer from {_endpoint()}"
        return f"{got}, and no copy on this machine", "the files of a prompt", "connect and try again"
    if isinstance(error, errors.EntryNotFoundError):
        return "a repository without a prompt", f"{CARD} and {TENSORS} in it", f"see {address}"
    status = _status(error)
    if isinstance(error, errors.LocalTokenNotFoundError) or status in (401, 403):
        if use == "write" and status == 403:
            return (
                "an access token that may not write there",
                f"one with write access to {repository}",
                _LOGIN,
            )
        if status == 403:
            return "an access token that may not read it", "one with access", _LOGIN
        if not isinstance(error, errors.RepositoryNotFoundError) or use == "write":
            return "no access token, or one that the hub refuses", "a valid token of the hub", _LOGIN
    if isinstance(error, errors.RepositoryNotFoundError):
        got = "no such repository (and no such folder here), or a private one"
        return got, "user/name of a repository", f"correct the name, or {_LOGIN} for a private one"
    if type(error).__name__ == "OfflineModeIsEnabled":
        return "an offline mode (HF_HUB_OFFLINE)", "a network", "unset HF_HUB_OFFLINE"
    if status:
        said = getattr(error, "server_message", None) or ""
        return f"an answer {status} of {_endpoint()}{f': {said}' if said else ''}", "its consent", ""
    if isinstance(error, MemoryError | OSError | ValueError) and not isinstance(error, ConnectionError):
        return shortened(first_line(error), 300), "files that can be read and written", ""
    return f"no answer from {_endpoint()} ({type(error).__name__})", "a connection", "try again later"


def _status(error: BaseException) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


def _without(text: str, token: str | None) -> str:
    known = [token, os.environ.get("HF_TOKEN"), os.environ.get("HUGGING_FACE_HUB_TOKEN")]
    for one in filter(None, known):
        text = text.replace(one, "...")
    return re.sub(r"\bhf_\w{8,}", "...", text)
