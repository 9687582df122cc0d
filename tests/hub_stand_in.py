"""A stand-in of the Hugging Face hub's HTTP interface: what huggingface_hub asks for to upload and download.

It keeps repositories in memory, wants a token to write, and checks the fields of a card as the hub does.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_of_the_stand_in"
# Types of the fields of a card that the hub checks.
FIELDS: dict[str, type | tuple[type, ...]] = {
    "license": (str, list),
    "library_name": str,
    "pipeline_tag": str,
    "tags": list,
    "datasets": (str, list),
    "metrics": list,
    "base_model": (str, list),
    "language": (str, list),
    "model-index": list,
}
TASKS = {"text-to-audio", "audio-to-audio", "audio-classification"}


@dataclass
class Commit:
    message: str
    files: dict[str, bytes]

    @property
    def sha(self) -> str:
        digest = hashlib.sha1(self.message.encode())
        for path, content in sorted(self.files.items()):
            digest.update(path.encode() + hashlib.sha1(content).digest())
        return digest.hexdigest()


@dataclass
class Repository:
    private: bool = False
    commits: list[Commit] = field(default_factory=lambda: [Commit("initial commit", {})])
    proposed: list[Commit] = field(default_factory=list)

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[-1].files


class HubStandIn(ThreadingHTTPServer):
    """The server; `repositories` by "owner/name"."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        self.refuse: dict[str, int] = {}  # part of a path -> status

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def hub_stand_in() -> Iterator[HubStandIn]:
    server = HubStandIn()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def card_errors(text: str) -> list[str]:
    """What the hub would say against a card."""
    found = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    if found is None:
        return ["there is no front matter"]
    try:
        data = yaml.safe_load(found[1])
    except yaml.YAMLError as error:
        return [str(error)]
    errors = [
        f'"{key}" is of a wrong type'
        for key, kind in FIELDS.items()
        if not isinstance(data.get(key, kind()) if isinstance(kind, type) else data.get(key, ""), kind)
    ]
    if data.get("pipeline_tag") not in TASKS:
        errors.append(f'"pipeline_tag" is {data.get("pipeline_tag")}')
    for entry in data.get("model-index", []):
        for result in entry["results"]:
            if (
                not {"task", "dataset", "metrics"} <= result.keys()
                or not {"type", "name"} <= result["dataset"].keys()
            ):
                errors.append('"model-index" lacks task, dataset or metrics')
            errors += [
                "a metric lacks type or value"
                for metric in result["metrics"]
                if not {"type", "value"} <= metric.keys()
            ]
    return errors


class _Handler(BaseHTTPRequestHandler):
    server: HubStandIn
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self._body()
        for part, status in self.server.refuse.items():
            if part in path:
                return self._json({"error": "the stand-in refuses this"}, status)
        for method, pattern, answer in _ROUTES:
            if (found := re.fullmatch(pattern, path)) and self.command in method:
                return answer(self, body, **found.groupdict())
        return self._json({"error": f"the stand-in does not know {self.command} {path}"}, 501)

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _json(self, content: Any, status: int = 200, **headers: str) -> None:
        self._bytes(json.dumps(content).encode(), status, **{"Content-Type": "application/json", **headers})

    def _bytes(self, content: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _may_write(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            return True
        self._json({"error": "Invalid username or password."}, 401)
        return False

    def _repository(self, repo: str) -> Repository | None:
        found = self.server.repositories.get(repo)
        if found is None:
            self._json({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
        return found

    # What is asked for.

    def create(self, body: bytes) -> None:
        if not self._may_write():
            return
        asked = json.loads(body)
        repo = "/".join(filter(None, [asked.get("organization"), asked["name"]]))
        if repo in self.server.repositories:
            return self._json(
                {"error": "You already created this model repo", "url": f"{self.server.address}/{repo}"}, 409
            )
        self.server.repositories[repo] = Repository(
            private=asked.get("visibility") == "private" or bool(asked.get("private"))
        )
        self._json({"url": f"{self.server.address}/{repo}", "name": repo})

    def validate(self, body: bytes) -> None:
        errors = [{"message": message} for message in card_errors(json.loads(body)["content"])]
        self._json({"errors": errors, "warnings": []}, 400 if errors else 200)

    def preupload(self, body: bytes, repo: str, revision: str) -> None:
        if not self._may_write() or self._repository(repo) is None:
            return
        files = [
            {
                "path": each["path"],
                "uploadMode": "lfs" if each["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
            }
            for each in json.loads(body)["files"]
        ]
        self._json({"files": files})

    def batch(self, body: bytes, repo: str) -> None:
        if not self._may_write():
            return
        objects = []
        for each in json.loads(body)["objects"]:
            entry = {"oid": each["oid"], "size": each["size"]}
            if each["oid"] not in self.server.large:
                entry["actions"] = {
                    "upload": {"href": f"{self.server.address}/large/{each['oid']}", "header": {}}
                }
            objects.append(entry)
        self._json({"transfer": "basic", "objects": objects})

    def store(self, body: bytes, oid: str) -> None:
        assert hashlib.sha256(body).hexdigest() == oid
        self.server.large[oid] = body
        self._json({})

    def commit(self, body: bytes, repo: str, revision: str) -> None:
        if not self._may_write() or (found := self._repository(repo)) is None:
            return
        lines = [json.loads(line) for line in body.splitlines()]
        files = dict(found.files)
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        done = Commit(lines[0]["value"]["summary"], files)
        proposed = "create_pr=1" in urlsplit(self.path).query
        (found.proposed if proposed else found.commits).append(done)
        answer = {"commitUrl": f"{self.server.address}/{repo}/commit/{done.sha}", "commitOid": done.sha}
        if proposed:
            answer["pullRequestUrl"] = f"{self.server.address}/{repo}/discussions/{len(found.proposed)}"
        self._json({"success": True, **answer})

    def info(self, body: bytes, repo: str, revision: str = "main") -> None:
        if (found := self._repository(repo)) is None:
            return
        siblings = [{"rfilename": path} for path in sorted(found.files)]
        self._json(
            {
                "id": repo,
                "sha": found.commits[-1].sha,
                "private": found.private,
                "siblings": siblings,
                "tags": [],
            }
        )

    def tree(self, body: bytes, repo: str, revision: str) -> None:
        if (found := self._repository(repo)) is None:
            return
        self._json(
            [
                {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for path, content in sorted(found.files.items())
            ]
        )

    def resolve(self, body: bytes, repo: str, revision: str, path: str) -> None:
        if (found := self._repository(repo)) is None:
            return
        if path not in found.files:
            return self._json({"error": "Entry not found"}, 404, X_Error_Code="EntryNotFound")
        content = found.files[path]
        tags = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X_Repo_Commit": found.commits[-1].sha}
        self._bytes(content, 200, **tags)


_REPO, _REVISION = r"(?P<repo>[\w.-]+/[\w.-]+)", r"(?P<revision>[^/]+)"
_ROUTES: list[tuple[tuple[str, ...], str, Callable[..., None]]] = [
    (("POST",), r"/api/repos/create", _Handler.create),
    (("POST",), r"/api/validate-yaml", _Handler.validate),
    (("POST",), rf"/api/models/{_REPO}/preupload/{_REVISION}", _Handler.preupload),
    (("POST",), rf"/api/models/{_REPO}/commit/{_REVISION}", _Handler.commit),
    (("GET",), rf"/api/models/{_REPO}/revision/{_REVISION}", _Handler.info),
    (("GET",), rf"/api/models/{_REPO}/tree/{_REVISION}", _Handler.tree),
    (("GET",), rf"/api/models/{_REPO}", _Handler.info),
    (("POST",), rf"/{_REPO}\.git/info/lfs/objects/batch", _Handler.batch),
    (("PUT",), r"/large/(?P<oid>\w+)", _Handler.store),
    (("GET", "HEAD"), rf"/{_REPO}/resolve/{_REVISION}/(?P<path>.+)", _Handler.resolve),
]
