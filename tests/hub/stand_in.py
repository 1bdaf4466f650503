"""A stand-in of the Hugging Face hub on loopback: those HTTP endpoints that huggingface_hub really calls."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_standin"
_REPO = r"(?:(?P<kind>models|datasets)/)?(?P<name>[\w.-]+/[\w.-]+)"
_LFS_FROM = 1000  # bytes: larger files go through LFS, as binary ones of the real hub do


@dataclass
class Repository:
    private: bool = False
    commits: list[dict[str, bytes]] = field(default_factory=lambda: [{}])
    tags: dict[str, int] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[-1]

    def sha(self, number: int = -1) -> str:
        return hashlib.sha1(str(number % len(self.commits)).encode()).hexdigest()

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        for number in range(len(self.commits)):
            if revision == self.sha(number) or revision in self.tags and self.tags[revision] == number:
                return self.sha(number), self.commits[number]
        return (self.sha(), self.files) if revision == "main" else None


class HubStandIn:
    """`with HubStandIn() as hub:`; hub.url is its endpoint.

    calls: method and path of each request. breaks: names of files or blobs whose next transfer ends after
    this many bytes, as on a lost connection.
    """

    def __init__(self):
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.blobs: dict[str, bytes] = {}
        self.calls: list[str] = []
        self.unknown: list[str] = []
        self.breaks: dict[str, int] = {}
        self.sent = defaultdict(int)  # path -> bytes of its content that were sent
        hub = self

        class Handler(_Handler):
            stand_in = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> HubStandIn:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stand_in: HubStandIn

    def log_message(self, *_) -> None:
        pass

    def _answer(self) -> None:
        hub, path = self.stand_in, unquote(urlsplit(self.path).path)
        hub.calls.append(f"{self.command} {path}")
        size = int(self.headers.get("Content-Length") or 0)
        limit = hub.breaks.pop(path.rsplit("/", 1)[-1], None) if self.command == "PUT" else None
        if limit is not None:
            self.rfile.read(min(limit, size))
            self.close_connection = True
            return self.connection.close()
        body = self.rfile.read(size)
        for method, pattern, answer in _ROUTES:
            found = re.fullmatch(pattern, path)
            if found and self.command in method:
                if "PUT POST".find(self.command) >= 0 and not self._signed_in():
                    return self._json({"error": "Invalid credentials"}, 401)
                return answer(self, body, **found.groupdict())
        hub.unknown.append(f"{self.command} {self.path}")
        self._json({"error": "not found"}, 404)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _answer

    def _signed_in(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}" or "/blobs/" in self.path

    def _json(self, value, status: int = 200, **headers) -> None:
        self._send(json.dumps(value).encode(), status, {"Content-Type": "application/json"} | headers)

    def _send(self, data: bytes, status: int, headers: dict, limit: int | None = None) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(data))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.stand_in.sent[unquote(self.path)] += len(data if limit is None else data[:limit])
        self.wfile.write(data if limit is None else data[:limit])
        if limit is not None:
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()

    def _found(self, kind: str | None, name: str) -> Repository | None:
        repository = self.stand_in.repositories.get((kind or "models", name))
        if repository is None or repository.private and not self._signed_in():
            self._json({"error": "Repository not found"}, 404, **{"X-Error-Code": "RepoNotFound"})
            return None
        return repository

    # One method for each endpoint

    def whoami(self, body: bytes) -> None:
        self._json({"name": "tester", "type": "user", "orgs": [], "auth": {}})

    def create(self, body: bytes) -> None:
        wanted = json.loads(body)
        name = f"{wanted.get('organization') or 'tester'}/{wanted['name']}"
        kind = f"{wanted.get('type') or 'model'}s"
        url = f"{self.stand_in.url}/{'datasets/' if kind == 'datasets' else ''}{name}"
        known = (kind, name) in self.stand_in.repositories
        self.stand_in.repositories.setdefault((kind, name), Repository(_private(wanted)))
        self._json({"url": url, "id": name}, 409 if known else 200)

    def validate_card(self, body: bytes) -> None:
        self._json({"errors": [], "warnings": []})

    def info(self, body: bytes, kind, name, revision="main") -> None:
        if (repository := self._found(kind, name)) is None:
            return
        if (found := repository.at(revision or "main")) is None:
            return self._json({"error": "no revision"}, 404, **{"X-Error-Code": "RevisionNotFound"})
        sha, files = found
        siblings = [{"rfilename": path, "size": len(data)} for path, data in files.items()]
        self._json({"id": name, "sha": sha, "private": repository.private, "siblings": siblings, "tags": []})

    def refs(self, body: bytes, kind, name) -> None:
        if (repository := self._found(kind, name)) is None:
            return
        tags = [
            {"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": repository.sha(number)}
            for tag, number in repository.tags.items()
        ]
        main = {"name": "main", "ref": "refs/heads/main", "targetCommit": repository.sha()}
        self._json({"branches": [main], "tags": tags, "converts": []})

    def tree(self, body: bytes, kind, name, revision) -> None:
        if (repository := self._found(kind, name)) is None:
            return
        if (found := repository.at(revision)) is None:
            return self._json({"error": "no revision"}, 404, **{"X-Error-Code": "RevisionNotFound"})
        self._json(
            [
                {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                | ({"lfs": _lfs(data)} if len(data) >= _LFS_FROM else {})
                for path, data in found[1].items()
            ]
        )

    def preupload(self, body: bytes, kind, name, revision) -> None:
        if self._found(kind, name) is not None:
            files = [
                {
                    "path": one["path"],
                    "uploadMode": "lfs" if one["size"] >= _LFS_FROM else "regular",
                    "shouldIgnore": False,
                }
                for one in json.loads(body)["files"]
            ]
            self._json({"files": files})

    def batch(self, body: bytes, kind, name) -> None:
        objects = []
        for one in json.loads(body)["objects"]:
            known = one["oid"] in self.stand_in.blobs
            href = f"{self.stand_in.url}/blobs/{one['oid']}"
            objects.append(one | ({} if known else {"actions": {"upload": {"href": href, "header": {}}}}))
        self._json({"transfer": "basic", "objects": objects})

    def blob(self, body: bytes, oid) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            return self._json({"error": "wrong content"}, 400)
        self.stand_in.blobs[oid] = body
        self._send(b"", 200, {})

    def commit(self, body: bytes, kind, name, revision) -> None:
        if (repository := self._found(kind, name)) is None:
            return
        files = dict(repository.files)
        for line in body.decode().splitlines():
            operation = json.loads(line)
            key, value = operation["key"], operation["value"]
            if key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                files[value["path"]] = self.stand_in.blobs[value["oid"]]
            elif key == "deletedFile":
                files.pop(value["path"], None)
        repository.commits.append(files)
        url = f"{self.stand_in.url}/{name}/commit/{repository.sha()}"
        self._json({"success": True, "commitOid": repository.sha(), "commitUrl": url, "hookOutput": ""})

    def tag(self, body: bytes, kind, name, revision) -> None:
        if (repository := self._found(kind, name)) is not None:
            repository.tags[json.loads(body)["tag"]] = len(repository.commits) - 1
            self._json({})

    def untag(self, body: bytes, kind, name, tag) -> None:
        if (repository := self._found(kind, name)) is not None:
            repository.tags.pop(tag, None)
            self._json({})

    def resolve(self, body: bytes, kind, name, revision, path) -> None:
        if (repository := self._found(kind, name)) is None:
            return
        sha, files = repository.at(revision) or ("", {})
        if path not in files:
            return self._json({"error": "no file"}, 404, **{"X-Error-Code": "EntryNotFound"})
        data, start, status = files[path], 0, 200
        large = len(data) >= _LFS_FROM
        etag = hashlib.sha256(data).hexdigest() if large else hashlib.sha1(data).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
        if wanted := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or ""):
            start, status = int(wanted[1]), 206
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        limit = self.stand_in.breaks.pop(path, None) if self.command == "GET" else None
        self._send(data[start:], status, headers, limit)


def _lfs(data: bytes) -> dict:
    digest = hashlib.sha256(data).hexdigest()
    return {"oid": digest, "size": len(data), "pointerSize": 134}


_API = "/api/" + _REPO
_ROUTES = [
    ("GET", "/api/whoami-v2", _Handler.whoami),
    ("POST", "/api/repos/create", _Handler.create),
    ("POST", "/api/validate-yaml", _Handler.validate_card),
    ("GET", _API, _Handler.info),
    ("GET", _API + "/revision/(?P<revision>.+)", _Handler.info),
    ("GET", _API + "/refs", _Handler.refs),
    ("GET", _API + "/tree/(?P<revision>[^/]+).*", _Handler.tree),
    ("POST", _API + "/preupload/(?P<revision>.+)", _Handler.preupload),
    ("POST", _API + "/commit/(?P<revision>.+)", _Handler.commit),
    ("POST", _API + "/tag/(?P<revision>.+)", _Handler.tag),
    ("DELETE", _API + "/tag/(?P<tag>.+)", _Handler.untag),
    ("POST", f"/{_REPO}[.]git/info/lfs/objects/batch", _Handler.batch),
    ("PUT", "/blobs/(?P<oid>[0-9a-f]+)", _Handler.blob),
    ("GET HEAD", f"/{_REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", _Handler.resolve),
]


def _private(wanted: dict) -> bool:
    """Of a request to make a repository, in the form of either major version of huggingface_hub."""
    return bool(wanted.get("private")) or wanted.get("visibility") == "private"
