"""What is redacted: by the names of members, and by what can be nothing but a secret in a text."""

import time

import pytest

from domain.redaction import REDACTED, hide_secrets, hide_tokens, is_secret, redacted, secret_pointers

NAMES = [
    *("token", "password", "secret", "authorization", "x-api-key", "private-key", "mnemonic", "Proxy-Authorization"),
    *("access_token", "refreshToken", "csrftoken", "APIKey", "apiKey", "aws_secret_access_key", "clientSecret"),
    *("db.password", "PASSWORD", "passphrase", "Set-Cookie", "credentials", "signing key", "user_password_hash"),
    *("signature", "public_key", "wallet_address"),
]
NO_SECRETS = [
    *("max_tokens", "tokens", "completion_tokens", "token_count", "key", "primary_key", "keyboard", "monkey"),
    *("secretary", "author", "authority", "tokenizer", "path", "name", "design", "", "t" * 101 + "password"),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_value_is_redacted_for_its_members_name(name):
    assert is_secret(name)
    assert redacted({"deep": [{name: {"any": 1}}]}) == {"deep": [{name: REDACTED}]}
    assert list(secret_pointers({"deep": [{name: "x"}]}, "")) == [f"/deep/0/{name}"]


@pytest.mark.parametrize("name", NO_SECRETS)
def test_other_names_hide_nothing(name):
    value = {"deep": [{name: "x"}]}
    assert redacted(value) is value


JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTYifQ.SflKxwRJSMeKKF2QT4"
PEM = "-----BEGIN {0}PRIVATE KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0B\n-----END {0}PRIVATE KEY-----"
TOKENS = [
    *(
        "sk-proj-0aB1cD2eF3gH4iJ5",
        "sk-ant-api03-x_y-z0123456789",
        "sk-or-v1-0123456789abcdef",
        "sk_live_0123456789abcdef",
    ),
    *(
        "bw_0123456789ab_" + "A1" * 24 + "z",
        "ghp_" + "a1" * 18,
        "github_pat_" + "a1_" * 20,
        "glpat-0123456789abcdefghij",
    ),
    *("AKIAIOSFODNN7EXAMPLE", "AIza" + "a1-_x" * 7, "hf_" + "aB1" * 11, "xoxb-1234567890-abcdefghij", JWT),
    *(PEM.format(""), PEM.format("RSA "), PEM.format("OPENSSH "), PEM.format("")[:60]),
]


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("around", ["{}", "my key: {}", '"{}"', "x={}"])
def test_a_key_is_known_by_its_form(token, around):
    assert hide_tokens(around.format(token)) in {around.format(REDACTED), around.partition("{")[0] + REDACTED}
    assert token not in str(redacted({"questions": [{"text": around.format(token)}]}))


@pytest.mark.parametrize(
    "text",
    [
        *(
            "What is 2+2?",
            "task-list-that-is-long-enough-1234",
            "a sk-8 board",
            "scikit-learn",
            "sk-learn-has-no-digit-in-it",
        ),
        *("disk-0123456789abcdefgh", "https://github.com/org/gh_repo", "eyJ is the beginning of many", "token", "AKIA"),
        *("postgresql://user@host/db", "postgresql://user:<password>@host/db", "postgresql://u:${PASSWORD}@h/d"),
        *(
            "https://h/v1?page=2&limit=3",
            "mailto:a@b.c",
            "Bearer of internationalization",
            "Authorization: Bearer $TOKEN",
        ),
        "-----BEGIN CERTIFICATE-----\nMIIEvQIBADANBg\n-----END CERTIFICATE-----",
    ],
)
def test_ordinary_text_stays_as_it_is(text):
    assert hide_secrets(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at postgresql://u:hush@h:5/d.", f"at postgresql://u:{REDACTED}@h:5/d."),
        ("redis://:hush@h/0", f"redis://:{REDACTED}@h/0"),
        ("GET /v1?token=hush&n=1", f"GET /v1?token={REDACTED}&n=1"),
        ("https://h/?key=hush#top", f"https://h/?key={REDACTED}#top"),
        ("https://h/?n=1&X-Amz-Signature=hush", f"https://h/?n=1&X-Amz-Signature={REDACTED}"),
        ("Authorization: Basic dXNlcjpodXNo", f"Authorization: Basic {REDACTED}"),
        ("sent bearer abc.def_0123-xyz", f"sent bearer {REDACTED}"),
    ],
)
def test_a_secret_in_a_url_or_a_header_is_hidden(text, shown):
    assert hide_secrets(text) == shown
    assert hide_secrets(shown) == shown


def test_redacting_again_changes_nothing():
    value = {"token": "x", "texts": TOKENS, "url": "https://u:p@h/?token=x"}
    once = redacted(value)
    assert redacted(once) is once


@pytest.mark.parametrize(
    "piece",
    [
        "sk-",
        "eyJaaaaaaaa.",
        "eyJaaaaaaaa-",
        "://a:",
        "?token",
        "?",
        "bearer ",
        "authorization:",
        "-----BEGIN ",
        "a",
        "sk-a-",
        "ghp_",
    ],
)
def test_a_long_text_is_searched_in_time_that_grows_with_it(piece):
    def seconds(length: int) -> float:
        text = piece * (length // len(piece)) + " sk-"
        begun = time.process_time()
        hide_secrets(text)
        return time.process_time() - begun

    # Quadratic time would be 64 times as much, and some seconds.
    assert min(seconds(400_000) for _ in range(3)) < 20 * min(seconds(50_000) for _ in range(3)) + 0.2
