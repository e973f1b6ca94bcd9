"""LDAP directories on loopback: OpenLDAP's slapd where it is installed, and a small one of our own everywhere."""

import asyncio
import contextlib
import pathlib
import shutil
import socket
import subprocess
import time

import sansldap

SLAPD = shutil.which("slapd", path="/usr/sbin:/usr/lib/openldap:/usr/libexec:/usr/bin")
BASE = "dc=example,dc=com"
SERVICE, SERVICE_PASSWORD = f"cn=search,{BASE}", "search password"
PEOPLE = {
    f"uid=ada,ou=people,{BASE}": {
        "uid": ["ada"],
        "mail": ["ada@example.com"],
        "cn": ["Ada"],
        "sn": ["L"],
        "employeeType": ["builder", "tester"],
        "userPassword": ["ada's password"],
    },
    f"uid=bob,ou=people,{BASE}": {
        "uid": ["bob"],
        "mail": ["bob@example.com"],
        "cn": ["Bob"],
        "sn": ["M"],
        "employeeType": ["admin"],
        "userPassword": ["bob's password"],
    },
    f"uid=star*,ou=people,{BASE}": {
        "uid": ["star*"],
        "cn": ["Star (*)"],
        "sn": ["S"],
        "userPassword": ["star's password"],
    },
    f"uid=twin,ou=people,{BASE}": {"uid": ["twin"], "cn": ["One"], "sn": ["T"], "userPassword": ["twin's password"]},
    f"uid=twin,ou=others,{BASE}": {"uid": ["twin"], "cn": ["Two"], "sn": ["T"], "userPassword": ["twin's password"]},
}


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@contextlib.contextmanager
def slapd(folder, trust):
    """OpenLDAP with the people above; yields the ports for ldap (StartTLS offered) and ldaps."""
    cert, key = trust.files("localhost", "127.0.0.1")
    (folder / "data").mkdir()
    schema = next(p for p in map(pathlib.Path, ("/etc/ldap/schema", "/etc/openldap/schema")) if p.exists())
    (folder / "slapd.conf").write_text(f"""
include {schema}/core.schema
include {schema}/cosine.schema
include {schema}/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCACertificateFile {trust.folder}/ca.pem
TLSCertificateFile {cert}
TLSCertificateKeyFile {key}
database mdb
maxsize 10485760
suffix "{BASE}"
directory {folder}/data
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{SERVICE}" read by * none
""")
    entries = [f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: example"]
    entries += [f"dn: ou={ou},{BASE}\nobjectClass: organizationalUnit\nou: {ou}" for ou in ("people", "others")]
    entries.append(
        f"dn: {SERVICE}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: search\nuserPassword: {SERVICE_PASSWORD}"
    )
    for dn, attributes in PEOPLE.items():
        lines = [f"{name}: {value}" for name, values in attributes.items() for value in values]
        entries.append("\n".join([f"dn: {dn}", "objectClass: inetOrgPerson", *lines]))
    (folder / "people.ldif").write_text("\n\n".join(entries) + "\n")
    subprocess.run(
        [SLAPD, "-T", "add", "-f", folder / "slapd.conf", "-l", folder / "people.ldif"], check=True, capture_output=True
    )
    plain, secure = free_port(), free_port()
    urls = f"ldap://127.0.0.1:{plain} ldaps://127.0.0.1:{secure}"
    with subprocess.Popen(
        [SLAPD, "-f", folder / "slapd.conf", "-h", urls, "-d", "0"], stderr=subprocess.PIPE
    ) as process:
        try:
            _wait_for(plain, process)
            yield plain, secure
        finally:
            process.terminate()
            process.wait(10)


def _wait_for(port, process):
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    raise AssertionError("slapd does not listen")


class SmallDirectory:
    """An LDAP server for the cases that an honest server does not offer; remembers the binds it was asked for."""

    def __init__(self, context=None):
        self.context, self.binds, self.filters = context, [], []
        self.start_tls = sansldap.LDAPResultCode.SUCCESS
        self.verdicts, self.found, self.done = {}, None, sansldap.LDAPResultCode.SUCCESS
        self.raw, self.silent, self.hangs_up, self.injected = None, False, False, b""

    async def __call__(self, reader, writer):
        session = sansldap.LDAPServer()
        try:
            while data := await reader.read(65_536):
                if self.hangs_up:
                    break
                if self.silent:
                    continue
                if self.raw is not None:
                    writer.write(self.raw)
                    await writer.drain()
                    continue
                for message in session.receive(data):
                    await self.answer(session, message, writer)
        except (sansldap.LDAPError, ConnectionError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def answer(self, session, message, writer):
        code = sansldap.LDAPResultCode
        if isinstance(message, sansldap.BindRequest):
            self.binds.append((message.name, message.authentication.password))  # type: ignore[attr-defined]
            known = {SERVICE: SERVICE_PASSWORD} | {dn: entry["userPassword"][0] for dn, entry in PEOPLE.items()}
            # As real directories do: a bind with a name and no password succeeds, as nobody.
            good = not message.authentication.password or known.get(message.name) == message.authentication.password  # type: ignore[attr-defined]
            session.bind_response(
                message.message_id,
                result_code=self.verdicts.get(message.name, code.SUCCESS if good else code.INVALID_CREDENTIALS),
            )
        elif isinstance(message, sansldap.SearchRequest):
            self.filters.append(message.filter)
            value = getattr(message.filter, "value", b"").decode()
            dns = [dn for dn, entry in PEOPLE.items() if value in entry["uid"]] if self.found is None else self.found
            for dn in dns:
                entry = PEOPLE.get(dn, {"uid": ["x"]})
                attributes = [
                    sansldap.PartialAttribute(n, [v.encode() for v in values])
                    for n, values in entry.items()
                    if n != "userPassword"
                ]
                session.search_result_entry(
                    message.message_id, dn, [*attributes, sansldap.PartialAttribute("jpegPhoto", [b"\xff\xd8\xff"])]
                )
            session.search_result_reference(message.message_id, ["ldap://elsewhere.example/"])
            session.search_result_done(message.message_id, result_code=self.done)
        elif isinstance(message, sansldap.ExtendedRequest):
            session.extended_response(message.message_id, name=message.name, result_code=self.start_tls)
            writer.write(session.data_to_send() + self.injected)
            if self.start_tls == code.SUCCESS and self.context and not self.injected:
                await writer.drain()
                await writer.start_tls(self.context)
            return
        writer.write(session.data_to_send())
        await writer.drain()


@contextlib.asynccontextmanager
async def listening(directory, *, tls=None):
    """The port of a small directory."""
    server = await asyncio.start_server(directory, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(server.wait_closed(), 5)
