"""What the hub and the way to it raise, each as one of softprompt's errors, in a sentence without a token."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from softprompt.errors import PromptError, first_line, shortened
from softprompt.files.prompt_folder import CARD, TENSORS

_LOGIN = "log in with `hf auth login`, or set HF_TOKEN"


_NETWORK = ("httpcore", "httpcore2", "httpx", "httpx2", "requests", "urllib3")
"""Libraries beneath `huggingface_hub`, by its version, whose errors mean that nothing answered."""


def endpoint() -> str:
    """The hub's address, as it is set when it is asked."""
    from huggingface_hub import constants

    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def address() -> str:
    """The hub's address for people: without a name and password that it may hold."""
    return re.sub(r"//[^/@]*@", "//", endpoint())


@contextmanager
def explained(repository: str, revision: str | None, token: str | None, use: str) -> Iterator[None]:
    """Turn whatever the hub or the way to it raises into a PromptError that holds no token.

    Args:
        repository: that is read or written.
        revision: of it.
        token: that was given, which the message must not quote.
        use: `read` or `write`.
    """
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

    page = f"{address()}/{repository}"
    if type(error) is RuntimeError and isinstance(error.__cause__, Exception):  # while a large file is sent
        error = error.__cause__
    if isinstance(error, errors.GatedRepoError):
        return "a gated repository", "leave to read it", f"ask for access at {page}, and {_LOGIN}"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"no revision '{revision}'", "a branch, a tag or a commit of it", f"see {page}"
    if isinstance(error, errors.LocalEntryNotFoundError):
        cause = error.__cause__
        if cause is not None and (status := status_of(cause)):
            return f"an answer {status} of {address()}", "the files of a prompt", "try again later"
        got = "no network, or an offline mode (HF_HUB_OFFLINE)"
        if cause is not None and type(cause).__name__ != "OfflineModeIsEnabled":
            got = f"no answer from {address()}"
        got = f"{got}, and neither a folder of this name nor a copy on this machine"
        return got, "the files of a prompt", "correct the name, or connect and try again"
    if isinstance(error, errors.EntryNotFoundError):
        return "a repository without a prompt", f"{CARD} and {TENSORS} in it", f"see {page}"
    status = status_of(error)
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
        return f"an answer {status} of {address()}{f': {said}' if said else ''}", "its consent", ""
    beneath = type(error).__module__.partition(".")[0] in _NETWORK
    if beneath or isinstance(error, ConnectionError | TimeoutError):
        return f"no answer from {address()} ({type(error).__name__})", "a connection", "try again later"
    return shortened(first_line(error), 300), "what the hub takes and the disk holds", ""


def status_of(error: BaseException) -> int | None:
    """The status with which the hub answered; None where there was no answer."""
    return getattr(getattr(error, "response", None), "status_code", None)


def _without(text: str, token: str | None) -> str:
    known = [token, os.environ.get("HF_TOKEN"), os.environ.get("HUGGING_FACE_HUB_TOKEN")]
    for one in filter(None, known):
        text = text.replace(one, "...")
    return re.sub(r"\bhf_\w{8,}", "...", text)
