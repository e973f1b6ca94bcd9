"""The words of auth methods: every field of every method has them, and the sentence that says who logs in."""

from typing import Any

import msgspec
import pytest

from watchword.domain.secret import Secret
from watchword.methods import METHODS
from watchword.methods.base import no_risks, risks_of
from watchword.methods.words import Guide, Words, sentence, value_text, words_of_field
from watchword.services.authentication import method_bodies, sealed_config

OUT_OF_BAND = {"universal-auth"}  # what logs in was stored by a person: the workload makes nothing


@pytest.fixture(params=METHODS, ids=lambda method: method.slug)
def method(request: pytest.FixtureRequest) -> Any:
    return request.param


def fields(struct: Any) -> list[tuple[str, Words, Any]]:
    """The fields of a struct and of those within it, with their words."""
    found = []
    for field in msgspec.structs.fields(struct):
        found.append((field.encode_name, words_of_field(field), field.type))
        for part in getattr(field.type, "__args__", ()):
            if isinstance(part, type) and issubclass(part, msgspec.Struct) and part.__module__ == struct.__module__:
                found += fields(part)
    return found


def is_secret(annotation: Any) -> bool:
    return annotation is Secret or any(map(is_secret, getattr(annotation, "__args__", ())))


def test_every_field_of_a_configuration_and_of_a_login_has_its_words(method: Any) -> None:
    whole = [*fields(method.config), *fields(method_bodies.body(method))]
    if method.login is not None:
        whole += fields(method_bodies.login_body(method))
    for name, words, _ in whole:
        for word in (words.title, words.help, words.example, words.section):
            assert word, f"{name}: {words}"


def test_what_is_secret_is_marked_and_nothing_else(method: Any) -> None:
    for name, words, annotation in fields(method.config):
        assert words.is_secret == is_secret(annotation), name
        assert words.is_secret == (name in sealed_config.secret_fields(method)), name
    if method.login is not None and len(msgspec.structs.fields(method.login)) > 1:
        proofs = fields(method.login)
        assert any(words.is_secret for _, words, _ in proofs)
        assert all(words.is_secret for _, words, annotation in proofs if is_secret(annotation))


def test_a_setting_that_is_dangerous_says_so_where_it_is_entered(method: Any) -> None:
    words = {name: said for name, said, _ in fields(method_bodies.body(method))}
    risky = {
        risk.field for risk in risks_of(method, {name: "*" if name == "allowedSpiffeIds" else None for name in words})
    }
    risky |= {"accessTokenTTL", "accessTokenTrustedIps"}
    if method.audience and method.risks is not no_risks:
        risky.add(method.audience)
    for name in risky:
        assert words[name].danger, name


def test_a_method_says_in_one_sentence_who_logs_in_and_how_it_goes_wrong(method: Any) -> None:
    text = sentence(method.guide, method.title, {})
    assert text[0].isupper() and text.endswith(".") and "{" not in text
    assert len(method.guide.mistakes) == 3
    assert all(len(preset.mistakes) == 3 and preset.snippet for preset in method.presets)
    if method.login is not None and method.slug not in OUT_OF_BAND:
        assert method.guide.obtain
    known = {field.encode_name for field in msgspec.structs.fields(method.config)}
    full = sentence(method.guide, method.title, dict.fromkeys(known, "VALUE"))
    assert "VALUE" in full or not known


def test_a_sentence_leaves_out_what_is_not_set_and_shortens_what_is_long() -> None:
    guide = Guide(summary=("tokens of {issuer} log in", "with {claims}", ("from {nets}", "from any network")))
    assert sentence(guide, "X", {"issuer": "a"}) == "Tokens of a log in, from any network."
    everywhere = [{"ipAddress": "0.0.0.0", "prefix": 0}, {"ipAddress": "::/0"}]
    full = {"issuer": "a", "claims": {"ref": "x", "id": "1"}, "nets": everywhere}
    assert sentence(guide, "X", full) == "Tokens of a log in, with ref = x, id = 1, from any network."
    assert value_text(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert len(value_text("x" * 5000)) == 161
    assert sentence(Guide(), "Toy Auth", {}) == "Whoever proves to be this identity by Toy Auth logs in."
