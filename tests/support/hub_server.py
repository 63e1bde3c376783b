"""A small hub on this machine: the calls that `huggingface_hub` makes to push and to fetch files.

Names, status codes and headers are those of huggingface.co; tokens are `read` and `write`.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

READ, WRITE = "hf_read" + "0" * 30, "hf_write" + "0" * 30


@dataclass
class Repository:
    """One repository.

    Attributes:
        commits: the files of each commit, by its id.
        branches: the commit at the end of each branch.
        large: names of files that were stored by LFS.
    """

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    large: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.commit("main", {}, "initial commit")

    def commit(self, branch: str, files: dict[str, bytes], message: str) -> str:
        """A new commit at the end of a branch; gives its id."""
        whole = {**self.commits.get(self.branches.get(branch, ""), {}), **files}
        oid = hashlib.sha1(f"{branch} {len(self.commits)} {message}".encode()).hexdigest()
        self.commits[oid], self.branches[branch] = whole, oid
        self.messages.append(message)
        return oid

    def files(self, revision: str = "main") -> dict[str, bytes] | None:
        """The files of a branch or commit."""
        return self.commits.get(self.branches.get(revision, revision))


class Hub:
    """The state of the server.

    Attributes:
        calls: `METHOD path` of each request.
        seen: all bytes that were sent to it, without headers.
        broken: the status with which every request is answered; None answers.
    """

    def __init__(self) -> None:
        self.address = ""
        self.clear()

    def clear(self) -> None:
        """Forget all but the address."""
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.calls: list[str] = []
        self.seen: list[bytes] = []
        self.broken: int | None = None
        self.large: tuple[str, ...] = (".safetensors",)

    def put(self, name: str, files: dict[str, bytes], **facts: Any) -> Repository:
        """A repository with these files."""
        made = self.repositories[name] = Repository(**facts)
        made.commit("main", files, "files")
        return made


@contextmanager
def running() -> Iterator[Hub]:
    """A hub that answers in a thread, at `hub.address`."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Refusal(Exception):
    def __init__(self, status: int, code: str = "", message: str = ""):
        self.status, self.code, self.message = status, code, message


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            self.body = self._chunks()
        self.hub.calls.append(f"{self.command} {unquote(path)}")
        self.hub.seen.append(self.body)
        try:
            if self.hub.broken is not None:
                raise _Refusal(self.hub.broken, "", "the hub is down")
            for command, pattern, method in _ROUTES:
                if command == self.command and (found := re.fullmatch(pattern, path)):
                    method(self, *map(unquote, found.groups()))
                    return
            raise _Refusal(404, "", f"no call {self.command} {path}")
        except _Refusal as refusal:
            headers = {"X-Error-Code": refusal.code, "X-Error-Message": refusal.message}
            self._send(refusal.status, {"error": refusal.message}, {k: v for k, v in headers.items() if v})

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _send(self, status: int, content: Any = b"", headers: dict[str, str] | None = None) -> None:
        payload = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(payload)

    # -- who asks --------------------------------------------------------------------------------

    def _token(self) -> str | None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        if token not in (None, READ, WRITE):
            raise _Refusal(401, "", "Invalid credentials in Authorization header")
        return token

    def _may_write(self) -> None:
        token = self._token()
        if token is None:
            raise _Refusal(401, "", "Invalid username or password.")
        if token != WRITE:
            raise _Refusal(403, "", f"You don't have the rights to write with {token}")

    def _repository(self, name: str) -> Repository:
        token, found = self._token(), self.hub.repositories.get(name)
        if found is None or (found.private and token is None):
            raise _Refusal(404 if token else 401, "RepoNotFound", "Repository not found")
        if found.gated:
            raise _Refusal(403, "GatedRepo", "Access to this repository is restricted")
        return found

    def _files(self, name: str, revision: str) -> dict[str, bytes]:
        files = self._repository(name).files(revision)
        if files is None:
            raise _Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return files

    # -- calls -----------------------------------------------------------------------------------

    def create(self) -> None:
        self._may_write()
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.hub.repositories:
            raise _Refusal(409, "", "You already created this model repo")  # with its `url`, on the hub
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        self.hub.repositories[name] = Repository(private)
        self._send(200, {"url": f"{self.hub.address}/{name}"})

    def validate(self) -> None:
        content = json.loads(self.body)["content"]
        block = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
        facts = yaml.safe_load(block[1]) if block else None
        errors = [] if isinstance(facts, dict) else [{"message": "no front matter"}]
        self._send(200 if not errors else 400, {"errors": errors, "warnings": []})

    def info(self, name: str, revision: str = "main") -> None:
        files, found = self._files(name, revision), self._repository(name)
        sha = found.branches.get(revision, revision)
        siblings = [{"rfilename": one} for one in files]
        facts = {"id": name, "modelId": name, "sha": sha, "private": found.private, "siblings": siblings}
        self._send(200, {**facts, "tags": [], "downloads": 0, "likes": 0})

    def branch(self, name: str, branch: str) -> None:
        self._may_write()
        found = self._repository(name)
        if branch in found.branches:
            raise _Refusal(409, "", f"Reference already exists: refs/heads/{branch}")
        found.branches[branch] = found.branches["main"]
        self._send(200, {})

    def preupload(self, name: str, revision: str) -> None:
        self._may_write()
        self._files(name, revision)
        files = [
            {
                "path": one["path"],
                "uploadMode": "lfs" if one["path"].endswith(self.hub.large) else "regular",
                "shouldIgnore": False,
            }
            for one in json.loads(self.body)["files"]
        ]
        self._send(200, {"files": files})

    def batch(self, name: str) -> None:
        self._may_write()
        self._repository(name)
        objects = []
        for one in json.loads(self.body)["objects"]:
            href = f"{self.hub.address}/lfs/{one['oid']}"
            actions = {} if one["oid"] in self.hub.objects else {"actions": {"upload": {"href": href}}}
            objects.append({**one, "authenticated": True, **actions})
        self._send(200, {"transfer": "basic", "objects": objects})

    def upload(self, oid: str) -> None:
        assert hashlib.sha256(self.body).hexdigest() == oid
        self.hub.objects[oid] = self.body
        self._send(200)

    def commit(self, name: str, revision: str) -> None:
        self._may_write()
        self._files(name, revision)
        found, files, summary = self._repository(name), {}, ""
        for line in self.body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "header":
                summary = value["summary"]
            elif operation["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
                found.large.add(value["path"])
        oid = found.commit(revision, files, summary)
        url = f"{self.hub.address}/{name}/commit/{oid}"
        self._send(200, {"success": True, "commitUrl": url, "commitOid": oid, "hookOutput": ""})

    def resolve(self, name: str, revision: str, path: str) -> None:
        files, found = self._files(name, revision), self._repository(name)
        if path not in files:
            raise _Refusal(404, "EntryNotFound", "Entry not found")
        content = files[path]
        digest = hashlib.sha256(content).hexdigest()
        headers = {"X-Repo-Commit": found.branches.get(revision, revision)}
        if path in found.large:
            self.hub.objects[digest] = content
            linked = {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(content))}
            # Another host, as on the hub: the client neither asks it for facts nor shows it a token.
            elsewhere = self.hub.address.replace("127.0.0.1", "localhost")
            self._send(302, b"", {**headers, **linked, "Location": f"{elsewhere}/cdn/{digest}"})
        else:
            tag = hashlib.sha1(content).hexdigest()
            self._send(200, content, {**headers, "ETag": f'"{tag}"', "Content-Length": str(len(content))})

    def stored(self, oid: str) -> None:
        assert self._token() is None
        content = self.hub.objects[oid]
        self._send(200, content, {"ETag": f'"{oid}"', "Content-Length": str(len(content))})


_NAME = r"([^/]+/[^/]+)"

_ROUTES: list[tuple[str, str, Any]] = [
    ("POST", "/api/repos/create", _Handler.create),
    ("POST", "/api/validate-yaml", _Handler.validate),
    ("GET", f"/api/models/{_NAME}", _Handler.info),
    ("GET", f"/api/models/{_NAME}/revision/([^/]+)", _Handler.info),
    ("POST", f"/api/models/{_NAME}/branch/(.+)", _Handler.branch),
    ("POST", f"/api/models/{_NAME}/preupload/([^/]+)", _Handler.preupload),
    ("POST", f"/api/models/{_NAME}/commit/([^/]+)", _Handler.commit),
    ("POST", rf"/{_NAME}\.git/info/lfs/objects/batch", _Handler.batch),
    ("PUT", "/lfs/([0-9a-f]+)", _Handler.upload),
    ("HEAD", f"/{_NAME}/resolve/([^/]+)/(.+)", _Handler.resolve),
    ("GET", f"/{_NAME}/resolve/([^/]+)/(.+)", _Handler.resolve),
    ("GET", "/cdn/([0-9a-f]+)", _Handler.stored),
]
