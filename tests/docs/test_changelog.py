"""The changelog says what each release does, shortly enough to be read in one go."""

import re

from tests.support.documentation import ROOT

RELEASE_WORDS = 1_200


def test_the_changelog_of_each_release_can_be_read_in_one_go() -> None:
    _, *releases = re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert releases
    assert {
        release.split("]")[0]: len(release.split()) for release in releases if len(release.split()) > RELEASE_WORDS
    } == {}
