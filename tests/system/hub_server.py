"""A small Hub on loopback: what the real `huggingface_hub` client needs to download and upload.

Repositories live in memory as commits (a hash -> the files of that moment) and refs. Every request is
recorded, so that a test can say how many there were.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = (".safetensors", ".bin", ".h5", ".msgpack", ".onnx")
KINDS = ("models", "datasets", "spaces")


@dataclass
class Repo:
    name: str
    kind: str = "models"
    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], revision: str = "main", message: str = "") -> str:
        seed = json.dumps([self.name, revision, len(self.commits), sorted(files)])
        sha = hashlib.sha1(seed.encode()).hexdigest()
        self.commits[sha], self.refs[revision], self.messages[sha] = dict(files), sha, message
        return sha

    def resolve(self, revision: str) -> str | None:
        return self.refs.get(revision) or (revision if revision in self.commits else None)

    def files(self, revision: str = "main") -> dict[str, bytes]:
        return self.commits[self.refs[revision]]


class Answer(Exception):
    """Ends the handling of a request with this status."""

    def __init__(self, status: int, body: Any = b"", headers: dict[str, str] | None = None) -> None:
        super().__init__(status)
        self.status, self.headers = status, dict(headers or {})
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
            self.headers.setdefault("Content-Type", "application/json")
        self.body = body


def refuse(status: int, code: str, text: str, **headers: str) -> Answer:
    extra = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {"error": text}, {"X-Error-Code": code, "X-Error-Message": text, **extra})


class HubServer:
    """The server and what it holds. Use as a context manager."""

    def __init__(self, tokens: dict[str, str] | None = None) -> None:
        self.tokens = tokens or {"hf_reader": "somebody"}
        self.repos: dict[tuple[str, str], Repo] = {}
        self.aliases: dict[str, str] = {}  # old bare name -> owner/name
        self.objects: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.fail_with: int | None = None
        handler = type("Handler", (_Handler,), {"hub": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> HubServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def add(
        self,
        name: str,
        files: dict[str, bytes | str],
        *,
        revision: str = "main",
        kind: str = "models",
        **options: Any,
    ) -> Repo:
        """Commit these files (the whole content of the new commit) to a repository."""
        repo = self.repos.setdefault((kind, name), Repo(name, kind))
        for option, value in options.items():
            setattr(repo, option, value)
        content = {path: data.encode() if isinstance(data, str) else data for path, data in files.items()}
        repo.commit(content, revision)
        return repo

    def count(self, start: str = "") -> int:
        """How many requests there were whose path begins like this."""
        return sum(path.startswith(start) for _, path in self.requests)

    def forget(self) -> None:
        self.requests.clear()


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def _answer(self) -> None:
        url = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        if self.headers.get("Transfer-Encoding") == "chunked":
            self.body = self._read_chunks()
        else:
            self.body = self.rfile.read(length)
        self.hub.requests.append((self.command, url.path))
        self.query = parse_qs(url.query)
        try:
            if self.hub.fail_with is not None:
                raise Answer(self.hub.fail_with, {"error": "out of order"})
            self._route(url.path)
            raise Answer(404, {"error": f"no such address: {url.path}"})
        except Answer as answer:
            self._send(answer)
        except Exception as error:
            self._send(Answer(500, {"error": f"{type(error).__name__}: {error}"}))

    def _read_chunks(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline().strip() or b"0", 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        answer.headers.setdefault("Content-Length", str(len(answer.body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _route(self, path: str) -> None:
        if path == "/api/whoami-v2":
            raise Answer(200, {"type": "user", "name": self._user(), "orgs": [], "auth": {}})
        if path == "/api/validate-yaml":
            raise Answer(200, {"errors": [], "warnings": []})
        if path == "/api/repos/create":
            self._create()
        if match := re.fullmatch(r"/lfs/([0-9a-f]{64})", path):
            self._store(match[1])
        kinds = "|".join(KINDS)
        actions = "revision|tree|preupload|commit|branch|refs"
        if match := re.fullmatch(rf"/api/({kinds})/(.+?)(?:/({actions})(?:/(.*))?)?", path):
            self._api(match[1], match[2], match[3] or "revision", unquote(match[4] or "main"))
        if match := re.fullmatch(r"/(?:(datasets|spaces)/)?(.+?)\.git/info/lfs/objects/batch", path):
            self._batch(self._repo(match[1] or "models", match[2], write=True))
        if match := re.fullmatch(r"/(?:(datasets|spaces)/)?(.+?)/resolve/([^/]+)/(.+)", path):
            repo = self._repo(match[1] or "models", match[2])
            self._file(repo, unquote(match[3]), unquote(match[4]))

    # -- who may read what ----------------------------------------------------------------------

    def _user(self) -> str:
        user = self.hub.tokens.get((self.headers.get("Authorization") or "").removeprefix("Bearer "))
        if user is None:
            raise Answer(401, {"error": "Invalid credentials in Authorization header"})
        return user

    def _repo(self, kind: str, name: str, write: bool = False) -> Repo:
        if name in self.hub.aliases:
            place = self.path.replace(name, self.hub.aliases[name], 1)
            raise Answer(307, b"", {"Location": place})
        repo = self.hub.repos.get((kind, name))
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        known = token in self.hub.tokens
        if repo is None or (repo.private and not known):
            raise refuse(404 if known else 401, "RepoNotFound", "Repository not found")
        if repo.gated and not known:
            raise refuse(401, "GatedRepo", f"Access to model {name} is restricted")
        if write:
            self._user()
        return repo

    def _commit_of(self, repo: Repo, revision: str) -> str:
        sha = repo.resolve(revision)
        if sha is None:
            raise refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return sha

    # -- reading --------------------------------------------------------------------------------

    def _api(self, kind: str, name: str, action: str, rest: str) -> None:
        writes = action in ("preupload", "commit", "branch")
        repo = self._repo(kind, name, write=writes)
        getattr(self, f"_{action}")(repo, rest)

    def _revision(self, repo: Repo, revision: str) -> None:
        sha = self._commit_of(repo, revision)
        siblings = [{"rfilename": path} for path in sorted(repo.commits[sha])]
        about = {"id": repo.name, "modelId": repo.name, "private": repo.private, "tags": [], "downloads": 0}
        raise Answer(200, {**about, "likes": 0, "sha": sha, "siblings": siblings})

    def _tree(self, repo: Repo, rest: str) -> None:
        sha = self._commit_of(repo, rest.split("/")[0])
        entries: list[dict[str, Any]] = []
        for path, data in sorted(repo.commits[sha].items()):
            entry: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": _blob_id(data)}
            if path.endswith(LARGE):
                entry["lfs"] = {
                    "oid": hashlib.sha256(data).hexdigest(),
                    "size": len(data),
                    "pointerSize": 130,
                }
            entries.append(entry)
        raise Answer(200, entries)

    def _refs(self, repo: Repo, _: str) -> None:
        branches = [
            {"name": n, "ref": f"refs/heads/{n}", "targetCommit": sha} for n, sha in repo.refs.items()
        ]
        raise Answer(200, {"branches": branches, "converts": [], "tags": [], "pullRequests": []})

    def _file(self, repo: Repo, revision: str, path: str) -> None:
        sha = self._commit_of(repo, revision)
        data = repo.commits[sha].get(path)
        if data is None:
            raise refuse(404, "EntryNotFound", "Entry not found", X_Repo_Commit=sha)
        large = path.endswith(LARGE)
        etag = hashlib.sha256(data).hexdigest() if large else _blob_id(data)
        headers = {"X-Repo-Commit": sha, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
        if large:
            headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(data))}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if asked and self.command == "GET":
            first, last = int(asked[1]), int(asked[2] or len(data) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            raise Answer(206, data[first : last + 1], headers)
        raise Answer(200, data, {**headers, "Content-Length": str(len(data))})

    # -- writing --------------------------------------------------------------------------------

    def _create(self) -> None:
        user = self._user()
        wish = json.loads(self.body)
        kind = f"{wish.get('type') or 'model'}s"
        name = f"{wish.get('organization') or user}/{wish['name']}"
        if (kind, name) in self.hub.repos:
            raise Answer(409, {"error": "You already created this repo", "url": f"{self.hub.url}/{name}"})
        private = wish.get("visibility") == "private" or bool(wish.get("private"))
        repo = self.hub.repos[kind, name] = Repo(name, kind, private=private)
        repo.commit({".gitattributes": b""}, message="initial commit")
        start = "" if kind == "models" else f"{kind}/"
        raise Answer(200, {"url": f"{self.hub.url}/{start}{name}", "name": name, "id": name})

    def _branch(self, repo: Repo, branch: str) -> None:
        if branch in repo.refs:
            raise Answer(409, {"error": "Reference already exists"})
        repo.refs[branch] = repo.refs["main"]
        raise Answer(201, {})

    def _preupload(self, repo: Repo, revision: str) -> None:
        files = repo.commits[self._commit_of(repo, revision)]
        answer = [
            {
                "path": item["path"],
                "uploadMode": "lfs" if item["path"].endswith(LARGE) else "regular",
                "shouldIgnore": False,
                "oid": _blob_id(files[item["path"]]) if item["path"] in files else None,
            }
            for item in json.loads(self.body)["files"]
        ]
        raise Answer(200, {"files": answer})

    def _batch(self, repo: Repo) -> None:
        objects = []
        for item in json.loads(self.body)["objects"]:
            entry = {"oid": item["oid"], "size": item["size"]}
            if item["oid"] not in self.hub.objects:
                entry["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{item['oid']}", "header": {}}}
            objects.append(entry)
        raise Answer(200, {"transfer": "basic", "objects": objects})

    def _store(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise Answer(422, {"error": "the content does not have this hash"})
        self.hub.objects[oid] = self.body
        raise Answer(200, b"")

    def _commit(self, repo: Repo, revision: str) -> None:
        base = dict(repo.commits[self._commit_of(repo, revision)])
        message = ""
        for line in self.body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                message = value["summary"]
            elif item["key"] == "file":
                base[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                base[value["path"]] = self.hub.objects[value["oid"]]
            elif item["key"] == "deletedFile":
                base.pop(value["path"], None)
        request = "create_pr" in self.query
        sha = repo.commit(base, "refs/pr/1" if request else revision, message)
        answer = {"commitUrl": f"{self.hub.url}/{repo.name}/commit/{sha}", "commitOid": sha}
        if request:
            answer["pullRequestUrl"] = f"{self.hub.url}/{repo.name}/discussions/1"
        raise Answer(200, answer)


def _blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
