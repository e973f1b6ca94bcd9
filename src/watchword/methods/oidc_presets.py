"""Well-known issuers of CI systems: what the settings of OIDC Auth begin with there.

They bind ids that cannot be registered again, never names; audience and ids must be filled in.
"""

from watchword.methods.words import Claims, Preset, Suggested, audience_of, text_of

__all__ = ["PRESETS"]

_GITHUB = "https://token.actions.githubusercontent.com"
_CI = ("boundAudiences", "boundClaims")


def _suggested(
    claims: Claims,
    pinned: dict[str, str],
    *,
    subject: str = "",
    default_audience: str = "",
    notes: tuple[str, ...] = (),
) -> Suggested:
    """Settings that pin claims of a token, without the audience that its issuer gives every token."""
    issuer, audience = text_of(claims, "iss"), audience_of(claims)
    if default_audience and audience.startswith(default_audience):
        said = f"The token is made for {audience[:200]}, as every token is there: have it made for the audience below."
        notes, audience = (*notes, said), ""
    missing = [name for name, value in pinned.items() if not value]
    if missing:
        notes = (*notes, f"The token does not hold {', '.join(missing)}: fill that in.")
    return Suggested(
        settings={
            "oidcDiscoveryUrl": issuer,
            "boundIssuer": issuer,
            "boundAudiences": audience,
            "boundSubject": subject,
            "boundClaims": pinned,
        },
        notes=notes,
    )


def _github(claims: Claims) -> Suggested | None:
    issuer = text_of(claims, "iss")
    if issuer != _GITHUB and not issuer.startswith(f"{_GITHUB}/"):
        return None
    event, ref, subject = (text_of(claims, name) for name in ("event_name", "ref", "sub"))
    pinned = {name: text_of(claims, name) for name in ("repository_id", "repository_owner_id")}
    notes: tuple[str, ...] = ()
    if event.startswith("pull_request") or ref.startswith("refs/pull/"):
        notes = ("The token is of a pull request. These are left out: whoever may open one could log in.",)
        event, ref, subject = "push", "refs/heads/main", ""
    pinned |= {"ref": ref or "refs/heads/main", "event_name": event or "push"}
    if text_of(claims, "environment"):
        pinned["environment"] = text_of(claims, "environment")
    # A subject without ids names a repository, and a name can be registered again by somebody else.
    return _suggested(
        claims, pinned, subject=subject if "@" in subject else "", default_audience="https://github.com/", notes=notes
    )


def _gitlab(claims: Claims) -> Suggested | None:
    if not (text_of(claims, "project_id") and text_of(claims, "namespace_id") and text_of(claims, "project_path")):
        return None
    pinned = {name: text_of(claims, name) for name in ("project_id", "namespace_id", "ref", "ref_type")}
    notes: tuple[str, ...] = ()
    if text_of(claims, "pipeline_source") == "merge_request_event":
        notes = ("The token is of a merge request. These are left out: whoever may open one could log in.",)
        pinned |= {"ref": "main", "ref_type": "branch"}
    return _suggested(claims, pinned, default_audience=text_of(claims, "iss"), notes=notes)


def _circleci(claims: Claims) -> Suggested | None:
    issuer = text_of(claims, "iss")
    start = "https://oidc.circleci.com/org/"
    if not issuer.startswith(start):
        return None
    pinned = {"oidc.circleci.com/project-id": text_of(claims, "oidc.circleci.com/project-id")}
    if text_of(claims, "oidc.circleci.com/vcs-ref"):
        pinned["oidc.circleci.com/vcs-ref"] = text_of(claims, "oidc.circleci.com/vcs-ref")
    return _suggested(claims, pinned, default_audience=issuer.removeprefix(start))


def _buildkite(claims: Claims) -> Suggested | None:
    if text_of(claims, "iss") != "https://agent.buildkite.com":
        return None
    pinned = {name: text_of(claims, name) for name in ("organization_id", "pipeline_id", "build_branch")}
    return _suggested(claims, pinned, default_audience="https://buildkite.com/")


def _terraform(claims: Claims) -> Suggested | None:
    if not text_of(claims, "terraform_workspace_id"):
        return None
    pinned = {name: text_of(claims, name) for name in ("terraform_organization_id", "terraform_workspace_id")}
    return _suggested(claims, pinned)


PRESETS = (
    Preset(
        name="github",
        place="GitHub Actions",
        where="no secret",
        icon="git-branch",
        required=_CI,
        fills=_github,
        settings={
            "oidcDiscoveryUrl": _GITHUB,
            "boundIssuer": _GITHUB,
            "boundClaims": {
                "repository_id": "",
                "repository_owner_id": "",
                "ref": "refs/heads/main",
                "event_name": "push",
            },
        },
        snippet="""permissions:
  id-token: write
  contents: read
steps:
  - id: token
    uses: actions/github-script@v7
    with:
      result-encoding: string
      script: return await core.getIDToken("{audience}")
  - run: |
      curl -fsS "{url}/api/v1/auth/oidc-auth/login" -H 'content-type: application/json' \\
        -d '{"identityId": "{identity}", "jwt": "'"$JWT"'"}' | jq -r .accessToken
    env:
      JWT: ${{ steps.token.outputs.result }}
""",
        mistakes=(
            "id-token: write is missing: GitHub then gives the job no token at all.",
            "The audience is GitHub's default: the job must ask for the one above by name.",
            "Names instead of ids: a name can be registered again by somebody else. GitHub's API shows the ids.",
        ),
    ),
    Preset(
        name="gitlab",
        place="GitLab CI",
        where="no secret",
        icon="git-branch",
        required=_CI,
        fills=_gitlab,
        settings={
            "oidcDiscoveryUrl": "https://gitlab.com",
            "boundIssuer": "https://gitlab.com",
            "boundClaims": {"project_id": "", "namespace_id": "", "ref": "main", "ref_type": "branch"},
        },
        snippet="""job:
  id_tokens:
    WATCHWORD_JWT:
      aud: {audience}
  script:
    - >
      curl -fsS "{url}/api/v1/auth/oidc-auth/login" -H 'content-type: application/json'
      -d "{\\"identityId\\": \\"{identity}\\", \\"jwt\\": \\"$WATCHWORD_JWT\\"}" | jq -r .accessToken
""",
        mistakes=(
            "id_tokens with its aud is missing in the job: there is no token then.",
            "A GitLab of one's own: its address is the issuer and the discovery URL.",
            "Tags: their ref_type is tag, so that they cannot log in unless it is allowed.",
        ),
    ),
    Preset(
        name="circleci",
        place="CircleCI",
        where="no secret",
        icon="git-branch",
        required=_CI,
        fills=_circleci,
        settings={
            "oidcDiscoveryUrl": "https://oidc.circleci.com/org/ORGANIZATION_ID",
            "boundIssuer": "https://oidc.circleci.com/org/ORGANIZATION_ID",
            "boundClaims": {"oidc.circleci.com/project-id": ""},
        },
        snippet="""steps:
  - run: |
      JWT=$(circleci run oidc get --claims '{"aud": "{audience}"}')
      curl -fsS "{url}/api/v1/auth/oidc-auth/login" -H 'content-type: application/json' \\
        -d "{\\"identityId\\": \\"{identity}\\", \\"jwt\\": \\"$JWT\\"}" | jq -r .accessToken
""",
        mistakes=(
            "The organization's id is missing in issuer and discovery URL: it stands in the organization's settings.",
            "The audience of CIRCLE_OIDC_TOKEN is the organization's id: ask for the one above.",
            "Forks: do not pass secrets to builds of forked pull requests.",
        ),
    ),
    Preset(
        name="buildkite",
        place="Buildkite",
        where="no secret",
        icon="git-branch",
        required=_CI,
        fills=_buildkite,
        settings={
            "oidcDiscoveryUrl": "https://agent.buildkite.com",
            "boundIssuer": "https://agent.buildkite.com",
            "boundClaims": {"organization_id": "", "pipeline_id": "", "build_branch": "main"},
        },
        snippet="""steps:
  - command: |
      JWT=$$(buildkite-agent oidc request-token --audience "{audience}" --claim organization_id --claim pipeline_id)
      curl -fsS "{url}/api/v1/auth/oidc-auth/login" -H 'content-type: application/json' \\
        -d "{\\"identityId\\": \\"{identity}\\", \\"jwt\\": \\"$$JWT\\"}" | jq -r .accessToken
""",
        mistakes=(
            "The ids are not asked for: request-token must name both claims.",
            "Slugs instead of ids: a slug can be taken by somebody else later.",
            "Another audience: it must be the one above.",
        ),
    ),
    Preset(
        name="terraform-cloud",
        place="Terraform Cloud",
        where="no secret",
        icon="git-branch",
        required=_CI,
        fills=_terraform,
        settings={
            "oidcDiscoveryUrl": "https://app.terraform.io",
            "boundIssuer": "https://app.terraform.io",
            "boundClaims": {"terraform_organization_id": "", "terraform_workspace_id": ""},
        },
        snippet="""# Variables of the workspace, of the category environment variable:
TFC_WORKLOAD_IDENTITY_AUDIENCE={audience}
# The run then finds its token in TFC_WORKLOAD_IDENTITY_TOKEN, for the login of the identity {identity} at {url}
""",
        mistakes=(
            "TFC_WORKLOAD_IDENTITY_AUDIENCE is not set: there is no token then.",
            "Plans and applies log in alike: bind terraform_run_phase to apply to admit only these.",
            "Names instead of ids: a workspace that is renamed cannot log in any more.",
        ),
    ),
)
