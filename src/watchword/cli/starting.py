"""Checks before a server starts; `serve` begins with them, and `config check` runs nothing else."""

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

from watchword.app import inspect_database, setting_faults
from watchword.cli import listening
from watchword.settings import Settings, SettingsError


@contextlib.contextmanager
def ready_to_start(settings: Settings) -> Iterator[list[socket.socket]]:
    """The sockets to listen on, once everything that a start needs was found to be in order.

    Checked are TLS files, data directory, root key, database and address.

    Nothing else is made or changed. Raises SettingsError with every fault of the settings, Unusable, StoreDown,
    WrongRootKey.
    """
    faults = [*tls_faults(settings), *setting_faults(settings)]
    with contextlib.ExitStack() as until_over:
        listeners: list[socket.socket] = []
        try:
            listeners = until_over.enter_context(listening.open_sockets(settings))
        except SettingsError as error:
            faults += error.faults
        if faults:
            raise SettingsError(faults)
        asyncio.run(inspect_database(settings, whole=True))
        yield listeners


def tls_faults(settings: Settings) -> list[str]:
    """The faults of the TLS files of the settings, each with the setting that names it."""
    faults = []
    for name in ("tls_cert_file", "tls_key_file", "tls_client_ca_file"):
        path: Path | None = getattr(settings, name)
        fault = _unreadable(path) if path is not None else None
        if fault is not None:
            faults.append(f"WATCHWORD_{name.upper()}: {path} {fault}")
    if faults or settings.tls_cert_file is None or settings.tls_key_file is None:
        return faults
    return _pair_faults(settings.tls_cert_file, settings.tls_key_file) + _authority_faults(settings.tls_client_ca_file)


def _unreadable(path: Path) -> str | None:
    try:
        with path.open("rb"):
            return None
    except OSError as error:
        return f"cannot be read: {os.strerror(error.errno) if error.errno else error}"


def _pair_faults(cert_file: Path, key_file: Path) -> list[str]:
    from cryptography import x509  # noqa: PLC0415 - only where TLS is on
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key  # noqa: PLC0415

    faults, public = [], []
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    try:
        public.append(x509.load_pem_x509_certificates(cert_file.read_bytes())[0].public_key().public_bytes(*form))
    except ValueError:
        faults.append(
            f"WATCHWORD_TLS_CERT_FILE: {cert_file} is no certificate in PEM: expected the server's own first, then "
            "those above it"
        )
    try:
        public.append(load_pem_private_key(key_file.read_bytes(), None).public_key().public_bytes(*form))
    except TypeError:
        faults.append(
            f"WATCHWORD_TLS_KEY_FILE: {key_file} is encrypted: give the key without a passphrase, in a file that "
            "only the server reads"
        )
    except ValueError:
        faults.append(f"WATCHWORD_TLS_KEY_FILE: {key_file} is no private key in PEM")
    if faults:
        return faults
    if public[0] != public[1]:
        return [
            (
                f"WATCHWORD_TLS_KEY_FILE: {key_file} is not the key of the certificate in {cert_file}: "
                "give the two that belong together"
            )
        ]
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert_file, key_file)
    except (ssl.SSLError, OSError) as error:
        return [f"WATCHWORD_TLS_CERT_FILE, WATCHWORD_TLS_KEY_FILE: the TLS library does not take them: {error}"]
    return []


def _authority_faults(ca_file: Path | None) -> list[str]:
    if ca_file is None:
        return []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_verify_locations(ca_file)
    except (ssl.SSLError, OSError):
        return [f"WATCHWORD_TLS_CLIENT_CA_FILE: {ca_file} holds no certificate in PEM"]
    return []
