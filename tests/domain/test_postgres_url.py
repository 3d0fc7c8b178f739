"""Connection strings as text: the accepted ones, and the sentences about the others."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.postgres_url import WrongConnectionString, hide_passwords, parse_connection_string


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mysql://h/d", "postgresql://"),
        ("h/d", "postgresql://"),
        ("postgresql://h/d?sslmod=require", "did you mean sslmode?"),
        ("postgresql://h/d?SSLMODE=require", "there is no connection parameter SSLMODE"),
        ("postgresql://h/d?target_session_attr=any", "did you mean target_session_attrs?"),
        ("postgresql://h/d?search_path=x", "options=-c name=value"),
        ("postgresql://h/d?sslmode=yes", "set it to disable, allow, prefer"),
        ("postgresql://h/d?sslmode=", "sslmode is empty"),
        ("postgresql://h/d?connect_timeout=soon", "a whole number"),
        ("postgresql://h/d?target_session_attrs=master", "prefer-standby"),
        ("postgresql://h/d?load_balance_hosts=yes", "disable or random"),
        ("postgresql://h/d?channel_binding=require", "set channel_binding=prefer, and sslmode=verify-full"),
        ("postgresql://h/d?gssencmode=require", "sslmode=require for encryption"),
        ("postgresql://h/d?client_encoding=LATIN1", "set it to UTF8"),
        ("postgresql://h/d?replication=database", "remove it"),
        ("postgresql://h/d?require_auth=scram-sha-256", "pg_hba.conf"),
        ("postgresql://h/d?oauth_issuer=x", "use a password or a certificate"),
        ("postgresql://h/d?sslsni=0", "remove it"),
        ("postgresql://h/d?sslrootcert=system&sslmode=require", "takes sslmode=verify-full"),
        ("postgresql://h/d?sslnegotiation=direct", "takes sslmode=require or stricter"),
        ("postgresql://h:port/d", "a port from 1 to 65535"),
        ("postgresql://h:0/d", "a port from 1 to 65535"),
        ("postgresql://[::1/d", "[::1]:5432"),
        ("postgresql://[]:5432/d", "[::1]:5432"),
        ("postgresql://h/d?sslmode", "write sslmode=value"),
        ("postgresql://u:50%@h/d", "write % itself as %25"),
        ("postgresql://u:p%FF@h/d", "UTF-8"),
        ("postgresql://u:pa/ss@h/d", "write / as %2F"),
        ("postgresql:///d?host=@hidden", "a folder of a socket"),
        ("host=h password='never closed", "quote values"),
    ],
)
def test_an_invalid_connection_string_is_explained_with_the_remedy(text: str, said: str) -> None:
    with pytest.raises(WrongConnectionString) as error:
        parse_connection_string(text)
    assert said in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://",
        "postgres://h",
        "postgresql://h/d?sslmode=require&",
        "postgresql://h/d?channel_binding=prefer&gssencmode=disable&client_encoding=auto&sslcompression=0&sslsni=1",
        "postgresql://h/d?krbsrvname=postgres&gsslib=gssapi",
        "postgresql://h/d?sslnegotiation=direct&sslmode=require",
        "postgresql://h/d?options=-c%20search_path=a,b%20-c%20work_mem=1MB",
        "postgresql://h:5432/d?user=me@corporation",
        "postgresql://[::1]/d?user=me@corporation",
        "postgresql://h1:1,h2:2,[::1]:3/d?target_session_attrs=read-write&load_balance_hosts=random",
    ],
)
def test_harmless_values_of_unsupported_parameters_are_accepted(text: str) -> None:
    assert isinstance(parse_connection_string(text), dict)


@given(user=st.text(min_size=1), password=st.text(min_size=1), database=st.text(min_size=1))
def test_encoding_and_parsing_returns_the_same_values(user: str, password: str, database: str) -> None:
    given_parts = {"user": user, "password": password, "dbname": database}
    if any("\0" in part or not part.strip(",") for part in given_parts.values()):
        return
    encoded = {name: quote(part, safe="") for name, part in given_parts.items()}
    parsed = parse_connection_string(f"postgresql://{encoded['user']}:{encoded['password']}@h/{encoded['dbname']}")
    assert {name: parsed[name] for name in given_parts} == given_parts
    query = "&".join(f"{name}={part}" for name, part in encoded.items())
    assert parse_connection_string(f"postgresql://h?{query}") == {**given_parts, "host": "h"}


@given(st.text(alphabet="abc:/@?#&=%,[] '\\", max_size=30))
def test_no_text_shows_its_password(rest: str) -> None:
    text = f"postgresql://user:geheim{rest}@host/database"
    assert "geheim" not in hide_passwords(text)
    assert "geheim" not in sentence_about(text)


@given(st.text(alphabet="abchost=port/:@?&%'\\ ,[]\n", max_size=40))
def test_any_text_is_taken_or_refused_with_a_sentence(text: str) -> None:
    for whole in (text, f"postgresql://{text}"):
        assert sentence_about(whole)[-1:] in {"", ".", "?"}


def sentence_about(text: str) -> str:
    """The error of a refused string; None for an accepted one."""
    try:
        parse_connection_string(text)
    except WrongConnectionString as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "text", ["postgresql://u:geheim", "postgresql://u:a?geheim=1@h/d", "postgresql://u:a@geheim@h/d"]
)
def test_a_password_that_is_not_encoded_is_not_shown_in_the_refusal(text: str) -> None:
    assert sentence_about(text)
    assert "geheim" not in sentence_about(text)
