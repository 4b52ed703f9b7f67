"""The address of a tracking store: what it names, and how it is spelled without its password."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus

from echolm.errors import EchoLMError

DIALECTS = ("http", "https", "postgresql", "mysql", "mssql", "databricks")
"""What an address may begin with, besides ``sqlite``."""
LONGEST_PATH = 480
"""In bytes.

SQLite opens no database whose path has over 504 (``MAX_PATHNAME`` of its Unix layer, less the
ending of a journal). The database is made under a longer name.
"""
ODD = re.compile(r"[%?]|[^ -~\u00a0-\U0010ffff]")
"""Characters of a path that an address cannot hold as they are."""
HIDDEN = "***"
"""Stands where a user name, a password or a token stood."""
SHORTEST_SECRET = 4
"""Shorter parts of a password are hidden where they stand in an address, and nowhere else.

They would be found in any sentence.
"""
USER_OF_ADDRESS = re.compile(r"""([A-Za-z][A-Za-z0-9+.-]*://)(?!/)[^\s'"<>]*@""")
"""A user name and password in any address of a text. The last ``@`` ends them."""
PERCENT = re.compile(r"%[0-9A-F]{2}")
SECRET_NAME = re.compile(r"pass|pwd|secret|token|key|auth|credential", re.IGNORECASE)
"""Names of parameters of an address whose values are secret."""
SECRET_PARAMETER = re.compile(
    r"""([?&][^=&\s'"]*(?:pass|pwd|secret|token|key|auth|credential)[^=&\s'"]*=)[^&\s'"]+""",
    re.IGNORECASE,
)


def sqlite_path(uri: str) -> Path | None:
    """Return the database file of a ``sqlite:///`` address, absolute.

    None for a server or another database. ``%25`` and ``%3F`` stand for ``%`` and ``?``
    (``Workspace.tracking_uri`` spells them so).

    Raises:
        EchoLMError: the address is anything else, or SQLite could not open the file.
    """
    scheme, _, rest = uri.partition(":")
    dialect = scheme.partition("+")[0]
    if dialect in DIALECTS:
        return None
    names_file = rest.startswith("///") and rest not in ("///", "///:memory:")
    if dialect != "sqlite" or not names_file:
        raise EchoLMError(
            f"tracking URI {shown(uri)!r} cannot be used; valid: sqlite:////folder/mlflow.db, or "
            "the address of an MLflow server (http://host:5000). MLflow 3 no longer writes plain "
            "folders"
        )
    if "?" in rest:
        raise EchoLMError(
            f"tracking URI {uri!r}: takes no parameters after '?'; a '?' in the path of the file "
            "is written %3F"
        )
    path = Path(unquote(rest[3:], errors="surrogateescape")).absolute()
    _refuse_path(path)
    return path


def _refuse_path(path: Path) -> None:
    """Refuse a database that could not be opened."""
    remedy = (
        "name a file elsewhere with --tracking-uri or MLFLOW_TRACKING_URI "
        "(sqlite:////folder/mlflow.db), or use another workspace"
    )
    encoded = os.fsencode(path)
    try:
        encoded.decode()
    except UnicodeDecodeError:
        raise EchoLMError(
            f"{ascii(str(path))}: MLflow cannot open a database whose path is no UTF-8; {remedy}"
        ) from None
    if "\0" in str(path):
        raise EchoLMError(f"{ascii(str(path))}: is no path of a file; {remedy}")
    if len(encoded) > LONGEST_PATH:
        raise EchoLMError(
            f"{path}: SQLite cannot open a database whose path has {len(encoded)} bytes (here at "
            f"most {LONGEST_PATH}); {remedy}"
        )


def is_odd(path: Path) -> bool:
    """Return whether MLflow would misread ``sqlite:///`` with this path after it."""
    return ODD.search(str(path)) is not None


def is_there(path: Path) -> bool:
    """Return whether there is a database.

    An empty file is what SQLite leaves where one was removed in the midst of a write.
    """
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def is_server(uri: str) -> bool:
    """Return whether the address is a tracking server's, and not a database's."""
    return uri.partition(":")[0] in ("http", "https", "databricks")


def shown(uri: str) -> str:
    """Spell the address without a user name, a password or a token."""
    return _without_users(uri)


def mask(text: str, uri: str) -> str:
    """Return a text in which nothing of the address's user name and password can be read.

    It may hold the address, or parts of it as MLflow, SQLAlchemy or urllib3 spell them: with
    percent signs, without them, cut at a character that ends a host.
    """
    for secret in sorted(_spellings(uri), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _without_users(text)


def reason(error: BaseException, uri: str) -> str:
    """Return what an error says, on one line and without the address's password."""
    text = " ".join(str(error).split()) or type(error).__name__
    return mask(text, uri)


def _without_users(text: str) -> str:
    text = USER_OF_ADDRESS.sub(rf"\1{HIDDEN}@", text)
    return SECRET_PARAMETER.sub(rf"\1{HIDDEN}", text)


def _spellings(uri: str) -> set[str]:
    """Return the secrets of an address as they may be spelled, and the words in them."""
    spellings: set[str] = set()
    for secret in _secrets(uri):
        plain = {secret, unquote(secret), unquote_plus(secret)}
        for text in plain:
            encoded = {quote(text), quote(text, safe=""), quote_plus(text)}
            escaped = {repr(text)[1:-1], ascii(text)[1:-1]}
            lower = {PERCENT.sub(lambda match: match[0].lower(), part) for part in encoded}
            for spelling in {text, *encoded, *lower, *escaped}:
                spellings.add(spelling)
                spellings.update(re.findall(r"\w+", spelling))
    return {spelling for spelling in spellings if len(spelling) >= SHORTEST_SECRET}


def _secrets(uri: str) -> Iterator[str]:
    """Yield the password of an address, or its user name where that is all, and tokens."""
    match = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://(?!/)(.*)@", uri, re.DOTALL)
    if match:
        user, _, password = match[1].partition(":")
        yield password or user
    for name, value in parse_qsl(uri.partition("?")[2]):
        if SECRET_NAME.search(name):
            yield value


def delete_command(uri: str, run_id: str) -> str:
    """Spell the command that removes a run.

    It can be typed in a shell as it is (but for a password, which is never shown).
    """
    words = f"mlflow runs delete --run-id {shlex.quote(run_id)}"
    path = sqlite_path(uri)
    if path is not None and is_odd(path):
        address = shlex.quote(f"sqlite:///{path.name}")
        return f"(cd {shlex.quote(str(path.parent))} && MLFLOW_TRACKING_URI={address} {words})"
    return f"MLFLOW_TRACKING_URI={shlex.quote(shown(uri))} {words}"


def ui_command(uri: str) -> str:
    """Spell the command that shows the runs of a SQLite store in a browser."""
    path = sqlite_path(uri)
    if path is not None and is_odd(path):
        address = shlex.quote(f"sqlite:///{path.name}")
        folder = shlex.quote(str(path.parent))
        return f"(cd {folder} && mlflow ui --backend-store-uri {address})"
    return f"mlflow ui --backend-store-uri {shlex.quote(uri)}"
