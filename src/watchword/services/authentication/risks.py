"""Judge the stored configuration of a method: what it lets in, or lets live, that its author may not mean.

There is one judgement: attaching, changing and reading a configuration answer the high risks as warnings, the report
of an organization lists all of them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from watchword.domain.authentication.records import MethodConfig
from watchword.domain.bounds import IpRange, compile_ranges
from watchword.methods.base import Risk, risks_of
from watchword.services.authentication.method_bodies import Method

LONG_LIFE = 86_400  # seconds
LONG_LEEWAY = 300  # seconds


def judged(method: Method, record: MethodConfig, settings: Mapping[str, Any]) -> tuple[Risk, ...]:
    """Return the risks of a configuration; `settings` are the method's own, with those of its template."""
    return (*risks_of(method, settings), *_of_proofs(method, settings), *_of_tokens(method, record))


def high(method: Method, record: MethodConfig, settings: Mapping[str, Any]) -> tuple[Risk, ...]:
    """Return the risks that a stranger can use by himself."""
    return tuple(risk for risk in judged(method, record, settings) if risk.severity == "high")


def mending(risk: Risk, record: MethodConfig) -> Mapping[str, Any]:
    """Return the settings that end a risk, by wire names; none where somebody must choose them."""
    if risk.code == "verification_off":
        return {risk.field: True}
    if risk.code == "long_leeway":
        return {risk.field: LONG_LEEWAY}
    if risk.code == "lockout_off":
        return {"lockoutEnabled": True}
    if risk.code == "long_life":
        periodic = {"accessTokenPeriod": 0} if record.period else {}
        ttl = min(record.ttl or LONG_LIFE, LONG_LIFE)
        return {"accessTokenTTL": ttl, "accessTokenMaxTTL": LONG_LIFE, **periodic}
    return {}


def _of_proofs(method: Method, settings: Mapping[str, Any]) -> Iterator[Risk]:
    audience = method.audience
    if audience and not str(settings.get(audience) or "").strip():
        yield Risk(
            "any_audience",
            audience,
            f"{audience} is empty: a token that was made for another service, and that service itself, can log in here",
            severity="medium",
            mend=f"Have tokens made for this server, and name the audience in {audience}",
        )
    for field, value in settings.items():
        if field.startswith("verifyTls") and value is False:
            yield Risk(
                "verification_off",
                field,
                f"{field} is off: whoever stands between can answer for the server that is asked",
                mend="Switch it on, and give the authority of the server's certificate",
            )
        if isinstance(value, str) and value.lower().startswith("http://"):
            yield Risk(
                "plain_http",
                field,
                f"{field} is asked without TLS: whoever stands between can answer for it",
                mend="Use an https URL",
            )
        if "leeway" in field.lower() and isinstance(value, int | float) and value > LONG_LEEWAY:
            yield Risk(
                "long_leeway",
                field,
                f"{field} is {value} seconds: proofs are taken so long before or after their time",
                severity="medium",
                mend=f"Set clocks by NTP, and lower {field} to {LONG_LEEWAY} or less",
            )


def _of_tokens(method: Method, record: MethodConfig) -> Iterator[Risk]:
    if method.locks and not record.lockout_enabled:
        yield Risk(
            "lockout_off",
            "lockoutEnabled",
            "Passwords can be guessed without end",
            mend="Set lockoutEnabled to true",
        )
    if _is_open(record.trusted_ips):
        yield Risk(
            "any_network",
            "accessTokenTrustedIps",
            "A stolen access token works from every address",
            severity="low",
            mend="Name the networks of the workload in accessTokenTrustedIps",
        )
    endless = bool(record.period) or not record.max_ttl
    if endless or record.max_ttl > LONG_LIFE:
        field = "accessTokenPeriod" if record.period else "accessTokenMaxTTL"
        life = "without end, by renewing" if endless else f"for up to {record.max_ttl // 3600} hours, by renewing"
        yield Risk(
            "long_life",
            field,
            f"A stolen access token can be kept alive {life}",
            severity="low",
            mend="Let tokens live for an hour or a day at most, and log in again: lower accessTokenTTL and "
            "accessTokenMaxTTL" + (", and set accessTokenPeriod to 0" if record.period else ""),
        )


def _is_open(networks: tuple[IpRange, ...]) -> bool:
    return compile_ranges(networks).is_open
