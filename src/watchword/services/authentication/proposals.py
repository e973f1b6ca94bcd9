"""Add to the checks of a refused login what would admit it, for operators."""

from typing import Any

import msgspec

from watchword.domain.authentication.proposals import Proposal, added_network, proposed
from watchword.domain.authentication.records import MethodConfig, MethodTemplate
from watchword.methods.base import AuthMethod, Check, Checks
from watchword.services.authentication import method_bodies

_MOST_IN_EVENT = 1_000  # bytes
TOKEN_NETWORKS = "accessTokenTrustedIps"  # noqa: S105 - a setting, and what the check of them expects


def proposed_checks(
    method: AuthMethod[Any, Any], config: MethodConfig | None, template: MethodTemplate | None, checks: Checks
) -> list[Check]:
    """Return the checks so far; those that compared and failed with a proposal."""
    done = checks.done
    for at, (kind, reason, passed, expected, presented) in enumerate(checks.raw):
        if kind == "compare" and not passed:
            proposal = proposal_for(method, config, template, reason, expected, presented)
            done[at] = msgspec.structs.replace(done[at], proposal=proposal)
    return done


def proposal_for(
    method: AuthMethod[Any, Any],
    config: MethodConfig | None,
    template: MethodTemplate | None,
    reason: str,
    expected: Any = None,
    presented: Any = None,
) -> Proposal | None:
    """Return what would admit what a check refused for `reason`; None where that is not known."""
    settings: dict[str, Any] = {}
    if config is not None:
        settings = {**method_bodies.common_wire(method, config), **config.config}
    proposers = dict(method.proposals)
    if reason == "address_not_trusted":
        of_logins = method.networks and expected != TOKEN_NETWORKS
        proposers[reason] = added_network(method.networks[0] if of_logins else TOKEN_NETWORKS)
    proposal = proposed(proposers, reason, settings, expected, presented)
    if proposal is None or proposal.configuration is None or template is None:
        return proposal
    shared = [name for name in proposal.configuration if name in method.template]
    if not shared:
        return proposal
    text = f"{' and '.join(shared)} comes from the template {template.name!r}, for all identities that use it"
    return Proposal(text=f"{text}: change it there, or use none", configuration=None)


def short_proposal(proposal: Proposal) -> dict[str, Any]:
    """Return a proposal for an audit event: without the settings where they are long."""
    shown: dict[str, Any] = msgspec.to_builtins(proposal)
    if len(msgspec.json.encode(shown)) > _MOST_IN_EVENT:
        shown.pop("configuration", None)
        shown["text"] += ": the record of the refusal, and test-login, show it"
    return shown
