"""Addresses of tracking stores: nothing of a password is printed, whoever spells it."""

from __future__ import annotations

import re
from urllib.parse import quote, quote_plus, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echolm.errors import EchoLMError
from grid.tracking.address import delete_command, mask, shown, ui_command
from grid.tracking.store import open_client, unusable

SECRET = "s3cr3t-Pa55word"
LETTERS = "aB3xYz9@:/?#[]%+&= é'\"\\!$"
PASSWORDS = (SECRET, "p@ss-word", "p%40ss-word", "pa/ss-word", "p:ss-word")


@pytest.mark.parametrize(
    ("uri", "spelled"),
    [
        ("postgresql://user:secret@db/mlflow", "postgresql://***@db/mlflow"),
        ("http://user:p@ss@host:5000", "http://***@host:5000"),
        ("http://user:p%40ss@host:5000", "http://***@host:5000"),
        ("http://user:pa/ss@host:5000", "http://***@host:5000"),
        ("http://token@host:5000/path", "http://***@host:5000/path"),
        ("postgresql://db/mlflow?user=ann&password=secret", None),
        ("http://host:5000", "http://host:5000"),
        ("sqlite:////home/ann@uni/mlflow.db", "sqlite:////home/ann@uni/mlflow.db"),
    ],
)
def test_an_address_is_shown_without_its_password(uri: str, spelled: str | None) -> None:
    if spelled is None:
        assert "secret" not in shown(uri) and "user=ann" in shown(uri)
    else:
        assert shown(uri) == spelled


def spellings(password: str) -> set[str]:
    """A password as libraries spell it."""
    plain = {password, unquote(password)}
    encoded = {spell(text) for text in plain for spell in (quote, quote_plus)}
    encoded |= {quote(text, safe="") for text in plain}
    return plain | encoded | {repr(text)[1:-1] for text in plain}


def leaks(text: str, password: str) -> list[str]:
    """What of a password of four letters or more a text still has: the whole, or a word of it."""
    words = {word for spelling in spellings(password) for word in re.findall(r"\w+", spelling)}
    return [part for part in {*words, *spellings(password)} if len(part) >= 4 and part in text]


@given(
    password=st.text(LETTERS, min_size=4, max_size=24),
    sentence=st.sampled_from(
        [
            "API request to {uri}/api failed with exception x",
            "Failed to parse: {uri}",
            "Invalid port: '{password}'",
            "HTTPConnectionPool(host='{password}', port=80): Max retries exceeded",
            "Could not parse SQLAlchemy URL from given URL string {uri!r}",
            "invalid literal for int() with base 10: {password!r}",
            'FATAL: password authentication failed for "{encoded}"',
        ]
    ),
)
def test_no_text_keeps_a_password(password: str, sentence: str) -> None:
    """However it is spelled: as it is, with percent signs, without, or as Python writes it."""
    uri = f"http://user:{password}@tracking.org:5000"
    for spelling in spellings(password):
        text = sentence.format(uri=uri, password=spelling, encoded=quote(spelling, safe=""))
        bare = mask(text, uri).replace("tracking.org:5000", "")
        for words in ("API request to", "Failed to parse", "HTTPConnectionPool", "Max retries"):
            bare = bare.replace(words, "")
        template = re.sub(r"\{.*?\}", "", sentence)
        found = [part for part in leaks(bare, password) if part not in template]
        assert found == [], bare


@pytest.mark.parametrize("scheme", ["http", "https", "postgresql+psycopg2", "mysql"])
@pytest.mark.parametrize(
    "password", [SECRET, "p@ss-word", "p%40ss-word", "pa/ss-word", "p:ss-word"]
)
def test_errors_of_libraries_tell_no_password(
    scheme: str, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real errors of MLflow, requests, urllib3 and SQLAlchemy, through ``open_client``."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
    monkeypatch.setattr("mlflow.store.db.utils.MAX_RETRY_COUNT", 1)
    uri = f"{scheme}://user:{password}@127.0.0.1:1/mlflow"
    with pytest.raises(EchoLMError) as caught:
        open_client(uri)
    assert leaks(str(caught.value), password) == [], str(caught.value)
    if caught.value.__cause__ is not None:  # what a notebook would print above it
        assert leaks(str(caught.value.__cause__), password) == []


def test_an_error_without_words_names_its_kind() -> None:
    error = unusable("http://u:secret@h", ValueError("cannot reach http://u:secret@h now\nmore"))
    assert str(error).endswith("cannot be used: cannot reach http://***@h now")
    assert str(unusable("http://h", TimeoutError())).endswith("cannot be used: TimeoutError")


def test_commands_for_a_shell() -> None:
    assert ui_command("sqlite:////a b/mlflow.db") == (
        "mlflow ui --backend-store-uri 'sqlite:////a b/mlflow.db'"
    )
    assert ui_command("sqlite:////100%25/mlflow.db") == (
        "(cd /100% && mlflow ui --backend-store-uri sqlite:///mlflow.db)"
    )
    assert delete_command("sqlite:////100%25/mlflow.db", "1a").startswith("(cd /100% && MLFLOW")
    assert "secret" not in delete_command("http://u:secret@h", "1a; rm -r /")
    assert "'1a; rm -r /'" in delete_command("http://u:secret@h", "1a; rm -r /")
