"""Well-known issuers of CI systems: what the settings of OIDC Auth begin with there.

They bind ids that cannot be registered again, never names; audience and ids must be filled in.
"""

from watchword.methods.base import Preset

__all__ = ["PRESETS"]

_GITHUB = "https://token.actions.githubusercontent.com"
_CI = ("boundAudiences", "boundClaims")
PRESETS = (
    Preset(
        name="github",
        place="GitHub Actions",
        where="no secret",
        icon="git-branch",
        required=_CI,
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
