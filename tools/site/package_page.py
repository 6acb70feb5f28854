"""The README as a package index shows it: links and pictures lead to the repository.

    python -m tools.site.package_page https://github.com/OWNER/tfoverparam

changes README.md, and adds the address to setup.cfg. `nox -s package` does it in a copy.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parents[2]
SETUP = "license = MIT\n"


def absolute(text, repository):
    """Markdown whose relative links are addresses on GitHub, and pictures those of their files."""

    def replace(match):
        kind = "raw" if match[1] else "blob"
        return f"{match[1]}[{match[2]}]({repository}/{kind}/main/{match[3]})"

    return re.sub(r"(!?)\[([^\]]*)\]\((?![a-z]+:|#)([^)]+)\)", replace, text)


def declared(setup, repository):
    """setup.cfg with the address of the repository."""
    return setup.replace(SETUP, f"{SETUP}project_urls =\n    Source = {repository}\n", 1)


def main():
    """Both files, in place."""
    repository = sys.argv[1].rstrip("/")
    for name, change in (("README.md", absolute), ("setup.cfg", declared)):
        text = (ROOT / name).read_text(encoding="utf-8")
        (ROOT / name).write_text(change(text, repository), encoding="utf-8")


if __name__ == "__main__":
    main()
