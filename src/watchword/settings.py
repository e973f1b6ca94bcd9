"""Settings: one frozen struct, read from the environment and a file; every fault is reported at once.

What counts, strongest first: the command line, the environment, the file named by WATCHWORD_CONFIG_FILE, the default.
"""

import ipaddress
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec

from watchword.domain.authentication.aws_names import StsHosts
from watchword.domain.authentication.cloud_hosts import azure_clouds, oci_hosts
from watchword.domain.authentication.kubernetes import token_files
from watchword.domain.secret import Secret


class SettingsError(Exception):
    """The settings do not make sense; `faults` names every one, each with what is accepted."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How one server runs. Each field is `WATCHWORD_<NAME>` in the environment; help texts are in `OPTIONS`."""

    host: str = "127.0.0.1"
    port: int = 8080
    socket: Path | None = None
    socket_mode: str = "660"
    head_timeout: int = 10
    body_timeout: int = 30
    max_connections: int = 10_000
    max_waiting: int = 5_000
    max_waiting_each: int = 1_000
    data_dir: Path = Path("./data")
    database_url: Secret | None = None
    root_key: Secret | None = None
    root_key_file: Path | None = None
    previous_root_key: Secret | None = None
    setup_code: Secret | None = None
    workers: int = 1
    database_pool: int = 10
    trusted_proxies: tuple[str, ...] = ()
    forwarded_header: str = "x-forwarded-for"
    max_token_age: int = 7_776_000
    site_url: str = ""
    allowed_private_hosts: tuple[str, ...] = ()
    http_hosts: tuple[str, ...] = ()
    outbound_timeout: int = 10
    clock_leeway: int = 30
    kubernetes_token_files: tuple[str, ...] = ()
    aws_sts_hosts: tuple[str, ...] = ()
    aws_server_id: str = ""
    azure_clouds: tuple[str, ...] = ()
    oci_hosts: tuple[str, ...] = ()
    tls_client_cert_header: str = "x-identity-tls-cert-auth-client-cert"
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None
    tls_client_ca_file: Path | None = None
    tls_revocation_from_certificate: bool = False
    crl_max_bytes: int = 64 * 1024 * 1024
    audit_reads: str = "batched"
    audit_retention_days: int = 90
    audit_retention_floor_days: int = 1
    credential_retention_days: int = 30
    max_body: int = 4 * 1024 * 1024
    cache_entries: int = 50_000
    session_ttl: int = 864_000
    allow_signup: bool = False
    refused_logins_per_minute: int = 300
    failed_sign_ins_per_minute: int = 60
    unlimited_networks: tuple[str, ...] = ()
    smtp_url: Secret | None = None
    smtp_from: str = ""
    smtp_plain: bool = False
    log_level: str = "info"
    log_requests: bool = False
    shutdown_grace: int = 20
    metrics: str = "off"
    console: str = "on"
    config_file: Path | None = None


class Option(msgspec.Struct, frozen=True):
    """One setting: how its text is read, and what it is for."""

    name: str
    read: Callable[[str], Any]
    help: str

    @property
    def accepts(self) -> str:
        """What the text may be, in a word or as the choices there are."""
        known: dict[Any, str] = {
            Path: "PATH",
            str: "TEXT",
            Secret: "TEXT",
            _flag: "true|false",
            _list: "LIST",
            _hosts: "LIST",
            _sts_hosts: "LIST",
            _token_files: "LIST",
            _azure_clouds: "LIST",
            _oci_hosts: "LIST",
            _server_id: "TEXT",
            _proxies: "LIST",
        }
        return known.get(self.read) or str(getattr(self.read, "accepts", "TEXT"))

    @property
    def variable(self) -> str:
        """The environment variable."""
        return _PREFIX + self.name.upper()


def _within(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ValueError(f"a whole number from {low} to {high}") from None
        if not low <= value <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return value

    read.accepts = f"{low}-{high}"  # type: ignore[attr-defined]
    return read


def _one_of(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError("one of " + ", ".join(choices))
        return text

    read.accepts = "|".join(choices)  # type: ignore[attr-defined]
    return read


def _mode(text: str) -> str:
    if len(text) not in (3, 4) or not set(text) <= set("01234567") or not 0o600 <= int(text, 8) <= 0o777:
        raise ValueError("a mode in octal from 600 to 777, such as 660")
    return text


def _header(text: str) -> str:
    return _one_of("x-forwarded-for", "forwarded")(text.lower())


def _flag(text: str) -> bool:
    if text.lower() not in {"true", "false", "1", "0", "yes", "no"}:
        raise ValueError("true or false")
    return text.lower() in {"true", "1", "yes"}


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _hosts(text: str) -> tuple[str, ...]:
    return tuple(part.lower() for part in _list(text))


def _sts_hosts(text: str) -> tuple[str, ...]:
    hosts = _hosts(text)
    try:
        StsHosts.of(hosts)
    except ValueError as error:
        raise ValueError(f"a comma list of host=region:partition: {error}") from None
    return hosts


def _azure_clouds(text: str) -> tuple[str, ...]:
    clouds = _hosts(text)
    try:
        azure_clouds(clouds)
    except ValueError as error:
        raise ValueError(f"a comma list of name=authority:issuer: {error}") from None
    return clouds


def _oci_hosts(text: str) -> tuple[str, ...]:
    hosts = _hosts(text)
    try:
        oci_hosts(hosts)
    except ValueError as error:
        raise ValueError(f"a comma list of host names: {error}") from None
    return hosts


def _token_files(text: str) -> tuple[str, ...]:
    files = _list(text)
    try:
        token_files(files)
    except ValueError as error:
        raise ValueError(f"a comma list of host=/path/of/the/token: {error}") from None
    return files


def _server_id(text: str) -> str:
    if not (text.isascii() and text.isprintable() and text == text.strip() and len(text) <= 255):
        raise ValueError("at most 255 printable ASCII characters, such as the host name of this server")
    return text


def _database(text: str) -> Secret:
    if not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("postgresql://user:password@host:port/database (leave it out for the embedded database)")
    return Secret(text)


NAMED_NETWORKS = {
    "loopback": ("127.0.0.0/8", "::1/128"),
    "linklocal": ("169.254.0.0/16", "fe80::/10"),
    "uniquelocal": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
}

UNIX = "unix"  # as a proxy: whoever speaks through the socket of the setting `socket`


def _proxies(text: str) -> tuple[str, ...]:
    networks: list[str] = []
    for part in _list(text):
        if part == UNIX:
            networks.append(part)
            continue
        if part in NAMED_NETWORKS:
            networks.extend(NAMED_NETWORKS[part])
            continue
        try:
            networks.append(str(ipaddress.ip_network(part, strict=False)))
        except ValueError:
            raise ValueError("a comma list of addresses, CIDR ranges, loopback, linklocal, uniquelocal, unix") from None
    return tuple(networks)


def _setup_code(text: str) -> Secret:
    if text != "off" and not (8 <= len(text) <= 200 and text.isprintable() and text == text.strip()):
        raise ValueError("8 to 200 characters, or off (left out: a code is made at the start and printed)")
    return Secret(text)


def _root_key(text: str) -> Secret:
    decode_root_key(text)
    return Secret(text)


def decode_root_key(text: str) -> bytes:
    """The 32 bytes of a root key in hex or base64. Raises ValueError that says what is accepted."""
    import base64  # noqa: PLC0415
    import binascii  # noqa: PLC0415

    stripped = text.strip()
    try:
        raw = bytes.fromhex(stripped) if len(stripped) == 64 else base64.b64decode(stripped, validate=True)
    except (ValueError, binascii.Error):
        raw = b""
    if len(raw) != 32:
        raise ValueError("32 bytes as 64 hex digits or as base64 (make one with: openssl rand -hex 32)")
    return raw


OPTIONS: tuple[Option, ...] = (
    Option("host", str, "Address to listen on."),
    Option("port", _within(0, 65535), "Port to listen on; 0 takes a free one."),
    Option("socket", Path, "A socket in the file system to listen on, instead of an address and a port."),
    Option("socket_mode", _mode, "Who may connect to that socket: its mode in octal."),
    Option("head_timeout", _within(1, 600), "Seconds within which the head of a request must arrive."),
    Option(
        "body_timeout",
        _within(1, 600),
        "Seconds within which the body of a request must arrive, and one more for each 64 KiB of it.",
    ),
    Option("max_connections", _within(16, 1_000_000), "Connections that one process takes at a time."),
    Option(
        "max_waiting",
        _within(0, 1_000_000),
        "Requests that may wait for changes (waitVersion, event streams) in one process at a time; 429 beyond.",
    ),
    Option("max_waiting_each", _within(0, 1_000_000), "How many of these may be of one identity, person or token."),
    Option("data_dir", Path, "Folder of the embedded database and its root key."),
    Option("database_url", _database, "PostgreSQL to use instead of the embedded database: postgresql://…"),
    Option("root_key", _root_key, "The key that seals all keys: 32 bytes in hex or base64."),
    Option("root_key_file", Path, "A file that holds the root key, instead of WATCHWORD_ROOT_KEY."),
    Option(
        "previous_root_key",
        _root_key,
        "A second root key that may open keys: the one before, until `watchword keys rotate-root` is done.",
    ),
    Option(
        "setup_code",
        _setup_code,
        "Code that the first administrator's bootstrap over HTTP must send: a text of yours, or `off` for none; "
        "by default made at the start and printed.",
    ),
    Option("workers", _within(1, 64), "Server processes; more than one needs PostgreSQL."),
    Option("database_pool", _within(2, 200), "Connections to PostgreSQL for each process."),
    Option(
        "trusted_proxies",
        _proxies,
        "Proxies whose forwarded headers are trusted: CIDR ranges, loopback, linklocal, uniquelocal, unix.",
    ),
    Option(
        "forwarded_header",
        _header,
        "Header in which a trusted proxy names the caller: x-forwarded-for, or forwarded (RFC 7239).",
    ),
    Option(
        "max_token_age",
        _within(60, 315_360_000),
        "No access token lives longer than this many seconds without a renewal.",
    ),
    Option(
        "site_url", str, "The address people and machines reach this server at; used in links and in token metadata."
    ),
    Option(
        "allowed_private_hosts",
        _list,
        "Private hosts or CIDR ranges that auth methods and webhooks may call (a cluster, a directory, a receiver).",
    ),
    Option(
        "http_hosts",
        _hosts,
        "Hosts that auth methods and webhooks may call without TLS, over HTTP or LDAP: for development; private ones "
        "must be allowed as well.",
    ),
    Option(
        "outbound_timeout",
        _within(1, 60),
        "Seconds that a call to an identity provider or to a receiver of messages may take.",
    ),
    Option(
        "clock_leeway",
        _within(0, 300),
        "Seconds that the clock of whoever issues a token may run ahead: for `nbf` and `iat`, never for `exp`.",
    ),
    Option(
        "kubernetes_token_files",
        _token_files,
        "Files with this server's own tokens for Kubernetes API servers, each as host=/path, such as "
        "kubernetes.default.svc=/var/run/secrets/kubernetes.io/serviceaccount/token: configurations for that host may "
        "have it review tokens. It is read again for each login; ca.crt beside it is trusted.",
    ),
    Option(
        "aws_sts_hosts",
        _sts_hosts,
        "STS hosts of AWS beside the known ones, each as host=region:partition: new regions, ISO partitions, VPC "
        "endpoints.",
    ),
    Option(
        "aws_server_id",
        _server_id,
        "What signed AWS requests must name in the header X-Watchword-AWS-IAM-Server-ID, so that one made for another "
        "service is refused; empty: they need not.",
    ),
    Option(
        "azure_clouds",
        _azure_clouds,
        "Clouds of Azure beside public, us-government and china, each as name=authority:issuer, the host of its keys "
        "and of tokens of version 2, and the issuer of tokens of version 1: configurations may then name it as cloud.",
    ),
    Option(
        "oci_hosts",
        _oci_hosts,
        "Identity services of Oracle Cloud outside its public realm, such as "
        "identity.us-langley-1.oraclegovcloud.com: a login may be signed for them.",
    ),
    Option(
        "tls_client_cert_header",
        str.lower,
        "Header in which a trusted proxy passes the client certificate: PEM (URL-encoded too), base64 of DER, or as in "
        "RFC 9440 (client-cert, with its chain in client-cert-chain).",
    ),
    Option("tls_cert_file", Path, "Certificate chain (PEM) to serve HTTPS with."),
    Option("tls_key_file", Path, "Private key (PEM) of the certificate."),
    Option("tls_client_ca_file", Path, "CAs (PEM) of client certificates that the TLS layer asks for."),
    Option(
        "tls_revocation_from_certificate",
        _flag,
        "Whether lists of revoked certificates and OCSP responders are asked at the URLs that a presented certificate "
        "names, where a configuration names none.",
    ),
    Option(
        "crl_max_bytes",
        _within(65_536, 1 << 30),
        "The largest list of revoked certificates (CRL) that is read, in bytes: 64 MiB hold about 1.7 million "
        "certificates, more than any public authority lists. A larger one counts as unavailable. A large list is read "
        "in a process of its own, which needs about six times as much memory meanwhile.",
    ),
    Option(
        "audit_reads",
        _one_of("batched", "strict"),
        "Whether reads wait for their audit event (strict) or it follows within 100 ms.",
    ),
    Option("audit_retention_days", _within(1, 3650), "Days that audit events are kept."),
    Option(
        "audit_retention_floor_days",
        _within(1, 3650),
        "Least number of days for which a project shows its audit events, whatever it sets.",
    ),
    Option(
        "credential_retention_days",
        _within(0, 3650),
        "Days that expired, used-up and revoked client secrets and tokens stay listed.",
    ),
    Option(
        "max_body",
        _within(1024, 1024 * 1024 * 1024),
        "Largest request body, in bytes. A larger limit lets one request keep others waiting longer.",
    ),
    Option(
        "cache_entries",
        _within(100, 10_000_000),
        "Entries kept in each cache; a folder counts as half as many as it holds secrets.",
    ),
    Option("session_ttl", _within(60, 31_536_000), "Seconds that a person stays signed in."),
    Option("allow_signup", _flag, "Whether people may make accounts without an invitation."),
    Option(
        "refused_logins_per_minute",
        _within(0, 1_000_000),
        "Refused logins of machines that one address (IPv6: /64) may make; then 429. 0: no limit.",
    ),
    Option(
        "failed_sign_ins_per_minute",
        _within(0, 1_000_000),
        "Failed sign-ins of people that one address (IPv6: /64) may make; then 429. 0: no limit.",
    ),
    Option(
        "unlimited_networks",
        _proxies,
        "Networks whose refused logins and sign-ins are not limited: CIDR ranges, loopback, linklocal, uniquelocal.",
    ),
    Option(
        "smtp_url",
        Secret,
        "Mail server for invitations and alerts: smtp://user:password@host:587; without it links are shown to the "
        "inviter.",
    ),
    Option("smtp_from", str, "Sender of mails."),
    Option(
        "smtp_plain",
        _flag,
        "Whether mail may go to a server that offers no TLS (STARTTLS), readable on the way. To one on this machine it "
        "always may.",
    ),
    Option("log_level", _one_of("debug", "info", "warning", "error"), "How much is logged."),
    Option("log_requests", _flag, "Whether each request is logged; answers of 500 and above always are."),
    Option("shutdown_grace", _within(0, 600), "Seconds that open requests may take to finish at shutdown."),
    Option(
        "console",
        _one_of("on", "off"),
        "Whether the web console is served (on) or only the API (off).",
    ),
    Option(
        "metrics",
        _one_of("off", "loopback", "open"),
        "Who may read /metrics (Prometheus): nobody (off), this machine (loopback), everybody (open).",
    ),
    Option("config_file", Path, "A TOML file of settings (`port = 9000`), for those that are not in the environment."),
)


_PREFIX = "WATCHWORD_"

# Variables of ours that are no settings of a server.
NOT_SETTINGS = frozenset(
    {
        "WATCHWORD_TEST_POSTGRES_DSN",
        "WATCHWORD_ADMIN_PASSWORD",
        "WATCHWORD_URL",
        "WATCHWORD_TOKEN",
        "WATCHWORD_WRAPPING_TOKEN",
        "WATCHWORD_FROM_TOKEN",
    }
)


def from_file(environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The settings in the file of WATCHWORD_CONFIG_FILE, as texts, and the faults of that file.

    The texts are those that the environment would hold.
    """
    path = environ.get("WATCHWORD_CONFIG_FILE", "")
    if not path:
        return {}, []
    import tomllib  # noqa: PLC0415 - slow to import, and most have no such file

    try:
        content = tomllib.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        problem = error.strerror if isinstance(error, OSError) else f"expected TOML: {error}"
        return {}, [f"WATCHWORD_CONFIG_FILE: {path}: {problem}"]
    known = {option.name for option in OPTIONS} - {"config_file"}
    faults = [f"{name} in {path}: {_no_setting(name, known)}" for name in sorted(content) if name not in known]
    return {name: _as_text(value) for name, value in content.items() if name in known}, faults


def _no_setting(name: str, known: Collection[str]) -> str:
    """What is wrong with an unknown name, and which known one was probably meant.

    What all variables begin with does not count, so that it makes no two of them alike.
    """
    import difflib  # noqa: PLC0415 - for a refusal alone

    def end(name: str) -> str:
        return name.lower().removeprefix(_PREFIX.lower())

    by_end = {end(one): one for one in sorted(known)}
    near = difflib.get_close_matches(end(name)[:64], by_end, n=1, cutoff=0.6)
    return "there is no such setting" + (f"; did you mean {by_end[near[0]]}?" if near else "")


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def load(environ: Mapping[str, str], overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings of `environ`, with `overrides` (from the command line) on top.

    Raises SettingsError with all faults.
    """
    values: dict[str, Any] = {}
    written, faults = from_file(environ)
    for option in OPTIONS:
        text, place = environ.get(option.variable, ""), option.variable
        if text == "" and option.name in written:
            text, place = written[option.name], f"{option.name} in {environ['WATCHWORD_CONFIG_FILE']}"
        if text == "":
            continue
        try:
            values[option.name] = option.read(text)
        except ValueError as error:
            faults.append(f"{place}: expected {error}")
    known = {option.variable for option in OPTIONS} | NOT_SETTINGS
    faults += [
        f"{name}: {_no_setting(name, known)}"
        for name in sorted(environ)
        if name.startswith(_PREFIX) and name not in known
    ]
    values |= {name: value for name, value in (overrides or {}).items() if value is not None}
    settings = Settings(**values)
    if settings.root_key and settings.root_key_file:
        faults.append("WATCHWORD_ROOT_KEY and WATCHWORD_ROOT_KEY_FILE: set one of them")
    if settings.workers > 1 and settings.database_url is None:
        faults.append("WATCHWORD_WORKERS: more than one process needs WATCHWORD_DATABASE_URL")
    if settings.database_url is not None and not settings.root_key and not settings.root_key_file:
        faults.append(
            "WATCHWORD_ROOT_KEY or WATCHWORD_ROOT_KEY_FILE: needed with PostgreSQL, so that every process has the "
            "same key"
        )
    if (settings.tls_cert_file is None) != (settings.tls_key_file is None):
        faults.append("WATCHWORD_TLS_CERT_FILE and WATCHWORD_TLS_KEY_FILE: set both or none")
    if settings.tls_client_ca_file is not None and settings.tls_cert_file is None:
        faults.append(
            "WATCHWORD_TLS_CLIENT_CA_FILE: needs WATCHWORD_TLS_CERT_FILE and WATCHWORD_TLS_KEY_FILE, because only a "
            "server of HTTPS can ask for a client's certificate"
        )
    if faults:
        raise SettingsError(faults)
    return settings
