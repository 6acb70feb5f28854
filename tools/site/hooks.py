"""What MkDocs does beyond rendering `docs/`; see `hooks` in mkdocs.yml.

Pages that are at home elsewhere in the checkout (README.md, the results, the changelog ...) are
shown where they are, not copied; the guide is run, and shown with what it prints and draws.
"""

import html
import logging
import pathlib
import posixpath
import re

from mkdocs.structure.files import File

from tools.site import guide

ROOT = pathlib.Path(__file__).parents[2]
# From a file of the checkout to its place in the site, for those outside `docs/`.
PAGES = {
    "README.md": "index.md",
    "results/README.md": "results/index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
PAYS = "when_it_pays.md"  # is a section of the guide
SECTION = re.compile(r"^## (\d+\. )(When it pays.*?)\n(.*?)(?=^## )", re.DOTALL | re.MULTILINE)

_log = logging.getLogger("mkdocs.hooks.tfoverparam")


def on_files(files, config):
    """Adds the pages and pictures from outside `docs/`, and the page cut from the guide."""
    pictures = {path: path for path in _relative(ROOT.glob("results/*/*.png"))}
    for source, place in {**PAGES, **pictures}.items():
        if (ROOT / source).exists():
            files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    _, title, body = SECTION.search(guide.GUIDE.read_text(encoding="utf-8")).groups()
    files.append(File.generated(config, PAYS, content=f"# {title}\n{body}"))
    return files


def on_page_markdown(markdown, page, config, files):
    """Executes the guide; leads links to where the site has what they mean."""
    place = page.file.src_uri
    if place == "guide.md":
        markdown = SECTION.sub(lambda found: f"## {found[1]}[{found[2]}]({PAYS})\n\n", markdown)
        markdown = _executed(markdown)
    # Tables of Markdown in what is folded.
    markdown = markdown.replace("<details>", '<details markdown="1">')
    source = next((key for key, value in PAGES.items() if value == place), f"docs/{place}")
    return re.sub(
        r"(!?)\[((?:[^][]|\[[^]]*\])*)\]\(([^)\s]+)\)",
        lambda found: _link(*found.groups(), source, place, files),
        markdown,
    )


def _relative(paths):
    return [path.relative_to(ROOT).as_posix() for path in sorted(paths)]


def _link(mark, text, target, source, place, files):
    """A link of the page, from its place in the site; what the site does not have is text."""
    if re.match(r"[a-z]+:|#", target):
        return f"{mark}[{text}]({target})"
    path, hash_, anchor = target.partition("#")
    folder = posixpath.dirname(source)
    meant = posixpath.normpath(posixpath.join(folder, path))
    there = PAGES.get(meant, meant.removeprefix("docs/"))
    found = files.get_file_from_path(there)
    if found is None or found.inclusion.is_excluded():
        if not (ROOT / meant).exists():
            _log.warning("%s links to %s, which is not there", source, meant)
        return text
    here = posixpath.dirname(place) or "."
    return f"{mark}[{text}]({posixpath.relpath(there, here)}{hash_}{anchor})"


def _executed(markdown):
    parts = []
    for is_code, source, output, pictures in guide.execute(markdown):
        parts.append(f"```python\n{source}\n```" if is_code else source)
        if output:
            parts.append(
                f'<pre class="output" tabindex="0">{html.escape(output, quote=False)}</pre>'
            )
        parts += [f'<div class="picture">{picture}</div>' for picture in pictures]
    return "\n\n".join(parts) + "\n"
