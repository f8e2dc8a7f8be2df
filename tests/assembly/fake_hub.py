"""A Hub of one's own: as much of its HTTP interface as huggingface_hub needs to make, fill and tag repositories."""

import base64
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest


@dataclass
class Repository:
    """What was pushed to it: files by commit, and tags."""

    visibility: str
    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=lambda: [("0" * 40, {})])
    tags: dict[str, str] = field(default_factory=dict)

    def at(self, revision: str) -> dict[str, bytes]:
        oid = self.commits[-1][0] if revision == "main" else self.tags.get(revision, revision)
        return dict(self.commits)[oid]


@dataclass
class Hub:
    """The state of the server.

    Attributes:
        token: The one that may write.
        repositories: By ``model USER/NAME`` or ``dataset USER/NAME``.
        fail_at: The number of a request from which on it gives no answer but 503.
    """

    token: str
    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    fail_at: int | None = None


@contextmanager
def fake_hub(token: str) -> Iterator[Hub]:
    """Serve one on this machine."""
    hub = Hub(token)
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def asked_instead(token: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Serve one that huggingface_hub takes for the Hub, in this process."""
    from huggingface_hub import constants

    with fake_hub(token) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", token)
        yield hub


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, code: int, value: Any = None, headers: dict[str, str] | None = None) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(code)
        for name, text in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        if self.hub.fail_at is not None and len(self.hub.requests) >= self.hub.fail_at:
            return self._answer(400, {"error": "no more today"})
        if path.startswith("/objects/"):  # an address that the server itself gave: no token is sent to it
            self.hub.objects[path.removeprefix("/objects/")] = body
            return self._answer(200, {})
        if self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            return self._answer(401, {"error": f"Invalid token {self.headers.get('Authorization')}"})
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if found := re.fullmatch(r"/(datasets/)?([\w.-]+/[\w.-]+)\.git/info/lfs/objects/batch", path):
            return self._batch(json.loads(body))
        if found := re.fullmatch(r"/(datasets/)?([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)", path):
            return self._file(f"{'dataset' if found[1] else 'model'} {found[2]}", found[3], found[4])
        if found := re.fullmatch(r"/api/(model|dataset)s/([\w.-]+/[\w.-]+)(?:/(\w+)(?:/([^/]+))?)?", path):
            return self._api(self.hub.repositories[f"{found[1]} {found[2]}"], found[3], found[4] or "main", body)
        return self._answer(200, {"errors": [], "warnings": []} if path == "/api/validate-yaml" else {})

    do_GET = do_POST = do_PUT = do_HEAD = _handle  # noqa: N815

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked.get('type') or 'model'} {asked['organization']}/{asked['name']}"
        code = 409 if name in self.hub.repositories else 200
        self.hub.repositories.setdefault(name, Repository(asked.get("visibility", "public")))
        self._answer(code, {"url": f"{self.hub.url}/{name.split()[1]}", "error": "exists"})

    def _api(self, repository: Repository, what: str | None, revision: str, body: bytes) -> None:
        files = repository.at(revision)
        if what == "refs":
            tags = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": c} for n, c in repository.tags.items()]
            return self._answer(200, {"branches": [], "converts": [], "tags": tags})
        if what == "tree":
            return self._answer(
                200, [{"type": "file", "path": n, "size": len(d), "oid": _oid(d)} for n, d in sorted(files.items())]
            )
        if what == "preupload":
            asked = json.loads(body)["files"]
            modes = [
                {
                    "path": each["path"],
                    "uploadMode": "lfs" if each["path"].endswith((".safetensors", ".jsonl")) else "regular",
                    "shouldIgnore": False,
                    "oid": None,
                }
                for each in asked
            ]
            return self._answer(200, {"files": modes})
        if what == "tag":
            tag = json.loads(body)["tag"]
            repository.tags[tag] = repository.commits[-1][0] if revision == "main" else revision
            return self._answer(200, {})
        if what == "commit":
            return self._commit(repository, files, body)
        siblings = [{"rfilename": name} for name in files]
        return self._answer(200, {"id": "a/b", "sha": repository.commits[-1][0], "siblings": siblings})

    def _commit(self, repository: Repository, before: dict[str, bytes], body: bytes) -> None:
        files = dict(before)
        for line in body.splitlines():
            told = json.loads(line)
            value = told["value"]
            if told["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif told["key"] == "lfsFile":
                data = self.hub.objects[value["oid"]]
                assert sha256(data).hexdigest() == value["oid"]
                files[value["path"]] = data
            elif told["key"] == "deletedFile":
                del files[value["path"]]
        oid = sha1(body + str(len(repository.commits)).encode()).hexdigest()
        repository.commits.append((oid, files))
        self._answer(200, {"commitUrl": f"{self.hub.url}/x/y/commit/{oid}", "commitOid": oid, "commitMessage": ""})

    def _batch(self, asked: dict[str, Any]) -> None:
        objects = [
            {**each, "actions": {"upload": {"href": f"{self.hub.url}/objects/{each['oid']}"}}}
            for each in asked["objects"]
        ]
        self._answer(200, {"transfer": "basic", "objects": objects}, {"Content-Type": "application/vnd.git-lfs+json"})

    def _file(self, name: str, revision: str, path: str) -> None:
        repository = self.hub.repositories[name]
        data = repository.at(revision).get(path)
        if data is None:
            return self._answer(404, {"error": "no entry"}, {"X-Error-Code": "EntryNotFound"})
        commit = repository.commits[-1][0] if revision == "main" else repository.tags.get(revision, revision)
        self._answer(200, data, {"ETag": f'"{_oid(data)}"', "X-Repo-Commit": commit})


def _oid(data: bytes) -> str:
    return sha1(b"blob %d\0" % len(data) + data).hexdigest()
