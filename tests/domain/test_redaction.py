"""What is redacted: by the names of members, and by what can be nothing but a secret in a text."""

import random
import sys
import time

import pytest

from domain.redaction import hide_secrets, is_secret, is_secret_parameter, redacted, secret_pointers
from domain.secret_forms import REDACTED, hide_tokens

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
    *("npm_" + "a1B" * 12, "pypi-AgEIcHlwaS5vcmc" + "aB1-_" * 10, "dckr_pat_" + "aB1_-" * 5, "rubygems_" + "a1" * 24),
    *("dop_v1_" + "a1" * 32, "shpat_" + "a1" * 16, "shpss_" + "A1" * 16, "sq0atp-" + "aB1-_x" * 4, "EAAA" + "aB1" * 20),
    *(
        "SG." + "aB1-_x" * 4 + "." + "aB1-_" * 8,
        "ya29.a0Af" + "aB1-_" * 8,
        "ya29.c.b0Aa" + "x1" * 30,
        "GOCSPX-" + "aB1-" * 7,
    ),
    *(
        "SK" + "0a" * 16,
        "AC" + "0a" * 16,
        "EAAB" + "aB1" * 40,
        "hvs." + "aB1" * 10,
        "glptt-" + "a1" * 20,
        "1//0" + "aB_-" * 10,
    ),
    *(
        "gsk_" + "aB1" * 10,
        "xai-" + "aB1" * 10,
        "tgp_v1_" + "aB1" * 12,
        "lsv2_pt_" + "a1" * 16,
        "r8_" + "aB1" * 12,
        "pplx-" + "a1" * 24,
        "nvapi-" + "aB1-_" * 12,
        "xapp-1-A0B1-2-" + "c3" * 20,
        "whsec_" + "aB1+/" * 7,
    ),
    *(PEM.format("EC ").replace("\n", "\\n"), PEM.format("").replace("-----\n", '-----\\n" +\n    "', 1)),
    PEM.format("RSA ").replace("-----\n", "-----\nProc-Type: 4,ENCRYPTED\n\n", 1),
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
        "It ends with -----END PRIVATE KEY-----, as this says.",
        "A file begins with -----BEGIN PRIVATE KEY----- and holds Base64.\nThen more is said of it, at any length.",
        "-----BEGIN RSA PRIVATE KEY-----\n...\n-----END RSA PRIVATE KEY-----",
        *("http://localhost:8000/@vite/client", "https://h:443/a?mail=a@b.c", "git+ssh://h:22/org/repo.git@v1.0"),
        *(
            "oci://registry:5000/image@sha256:0a",
            "postgresql://h:5432/db?application_name=a@b",
            "12:30@noon",
            "std::at@x",
        ),
        *("https://medium.com/@user/text:1", "user:name@host without a scheme", "a basic understanding of things"),
        *("basic c29tZXRoaW5n", "SIGNATURE", "ACCEPTED", "SKILLS-0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a", "AC" + "0A" * 16),
        *(
            "npm_config_registry_of_this_user",
            "pypi-publish-of-a-package-that-has-a-long-name",
            "shpat_ and sq0 and SG.1.2",
        ),
        *("EAABAA", "/EAA" + "aB1" * 40, "+EAA" + "aB1" * 40, "h1:" + "0a" * 32, "sha256:" + "0a" * 32, "x" * 200),
        *("3f2504e0-4f89-11d3-9a0c-0305e82c3301", "key_0a1b2c3d4e5f", "bw_0123456789ab", "4711-0-0-0", "ya29.short"),
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
        ("postgres://u:p/w@host/db", f"postgres://u:{REDACTED}@host/db"),
        ("postgres://u:p@w@host/db", f"postgres://u:{REDACTED}@host/db"),
        ("postgres://u:p:w@host/db", f"postgres://u:{REDACTED}@host/db"),
        ("postgres://u:p%40w%2F@host/db", f"postgres://u:{REDACTED}@host/db"),
        ("postgres://u:p/w@d@host/db", f"postgres://u:{REDACTED}@host/db"),
        ("mysql+pymysql://u:12/34@host/db", f"mysql+pymysql://u:{REDACTED}@host/db"),
        ("https://u:p#w?@host/x", f"https://u:{REDACTED}@host/x"),
        ("mongodb+srv://u:p/w@[::1]/db", f"mongodb+srv://u:{REDACTED}@[::1]/db"),
        ("https://u:p@h/x?mail=a@b.c", f"https://u:{REDACTED}@h/x?mail=a@b.c"),
        ("a://u:p@h,b://v:q@i", f"a://u:{REDACTED}@h,b://v:{REDACTED}@i"),
        ("root:hu/sh@tcp(127.0.0.1:3306)/db", f"root:{REDACTED}@tcp(127.0.0.1:3306)/db"),
        ("https://x.blob.example/c?sv=1&sp=r&sig=hush%3D", f"https://x.blob.example/c?sv=1&sp=r&sig={REDACTED}"),
        ("Name=x;AccountKey=hush==;Suffix=y", f"Name=x;AccountKey={REDACTED};Suffix=y"),
        ("Server=h; Password=hush; Database=d", f"Server=h; Password={REDACTED}; Database=d"),
        ("/o?a=1&amp;X-Amz-Signature=0a&amp;b=2", f"/o?a=1&amp;X-Amz-Signature={REDACTED}&amp;b=2"),
        ("/o?X-Amz-Credential=AK%2Fx&X-Amz-Date=1", f"/o?X-Amz-Credential={REDACTED}&X-Amz-Date=1"),
        ("/o?a=1\\u0026X-Amz-Security-Token=hush", f"/o?a=1\\u0026X-Amz-Security-Token={REDACTED}"),
        ("'Authorization': 'Basic dXNlcjpodXNo'", f"'Authorization': 'Basic {REDACTED}'"),
        ("Basic dXNlcjpodXNo is sent", f"Basic {REDACTED} is sent"),
        ("curl -H 'X-Api-Key: hush-hush'", f"curl -H 'X-Api-Key: {REDACTED}'"),
        ("PRIVATE-TOKEN: hush-hush", f"PRIVATE-TOKEN: {REDACTED}"),
        ("https://hooks.slack.com/services/T0A/B0A/a1B2c3D4e5F6", f"https://hooks.slack.com/services/{REDACTED}"),
        ("https://discord.com/api/webhooks/12/" + "aB1-_" * 6, f"https://discord.com/api/webhooks/12/{REDACTED}"),
        (f"x: {'aB1/' * 16}\n{'aB1+' * 8}\n-----END RSA PRIVATE KEY-----\nend", f"x: {REDACTED}\nend"),
        (
            '{"type": "service", "private_key": "' + PEM.format("").replace("\n", "\\n") + '\\n"}',
            f'{{"type": "service", "private_key": "{REDACTED}\\n"}}',
        ),
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
        "://a:b@",
        "://a:1/",
        "://:",
        "a:b@tcp(",
        "a:",
        "&x=",
        "; p=",
        "\\u0026sig=",
        "basic ",
        "basic aaaaaaaa",
        "Authorization: Basic ",
        "x-api-key: ",
        "SG.aaaaaaaaaaaaaaaa.",
        "EAA",
        "AC0",
        "ya29.",
        "1//0",
        "npm_",
        "aaaa" * 20 + "\n",
        "-----END PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n",
        "-----BEGIN PRIVATE KEY-----" + " " * 40,
        "aaaa" * 20 + "-----END PRIVATE KEY-----",
        "https://hooks.slack.com/services/",
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


MIB = 1 << 20
HOSTILE = {
    "parameters": ("".join(f"&{number}=x" for number in range(MIB // 9)), 0.001),
    "names": ("".join(f"&key{number}=x" for number in range(MIB // 12)), 0.001),
    "passwords": ("://a:b@c " * (MIB // 9), 0.5),
    "databases": ("postgres://a:80/@a " * (MIB // 19), 0.8),
    "keys": ("sk-" * (MIB // 3), 0.001),
}
"""Texts, and how many calls a character may cost. With Python called for each parameter's name and each character of a
password, it was 1.7, 1.4, 0.8 and 1.1 for the first four."""


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_makes_few_calls(name):
    """Calls are counted, of Python's functions and the interpreter's: how long they take depends on the machine."""
    text, most = HOSTILE[name]
    calls = 0

    def count(_frame, event, _argument):
        nonlocal calls
        calls += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        hide_secrets(text)
    finally:
        sys.setprofile(before)
    assert calls < most * len(text)


def test_the_pattern_of_parameters_knows_the_same_names():
    parts = [*NAMES, *NO_SECRETS[:-1], "auth", "sig", "Secret", "SECRET", "pwd", "to", "ken", "wallet", "api", "KEY"]
    parts = [part.replace(" ", "-") for part in parts] + list("_.-~%0aAsSeEkKtTx")
    choices = random.Random(7)
    names = ["".join(choices.choices(parts, k=choices.randint(1, 4))) or "x" for _ in range(20_000)]
    secret = [name for name in names if is_secret_parameter(name)]
    assert 2_000 < len(secret) < 18_000
    assert [name for name in names if len(name) <= 100 and hide_secrets(f"?{name}=x") != f"?{name}=x"] == secret
