"""What the presets of OIDC Auth suggest for a token: ids are pinned, and pull requests are left out."""

from tests.services.authentication.test_suggestions import GITHUB, GITLAB, US, found


def test_github_is_pinned_by_ids_and_its_default_audience_is_not_taken() -> None:
    one = found(GITHUB)
    assert one.preset is not None and one.preset.name == "github"
    assert one.settings["boundClaims"] == {
        "repository_id": "34",
        "repository_owner_id": "12",
        "ref": "refs/heads/main",
        "event_name": "push",
    }
    assert one.settings["boundAudiences"] == US and "github.com/acme" in one.notes[0]
    assert one.settings["boundSubject"] == GITHUB["sub"]
    named = found({**GITHUB, "sub": "repo:acme/app:ref:refs/heads/main"})
    assert named.settings["boundSubject"] == ""


def test_a_pull_request_is_not_suggested() -> None:
    pull = {
        **GITHUB,
        "event_name": "pull_request",
        "ref": "refs/pull/7/merge",
        "sub": "repo:acme@12/app@34:pull_request",
    }
    one = found(pull)
    assert one.settings["boundClaims"]["event_name"] == "push"
    assert one.settings["boundClaims"]["ref"] == "refs/heads/main"
    assert one.settings["boundSubject"] == "" and any("pull request" in note for note in one.notes)
    merge = found({**GITLAB, "pipeline_source": "merge_request_event", "ref": "evil"})
    assert merge.settings["boundClaims"]["ref"] == "main" and "merge request" in merge.notes[0]
