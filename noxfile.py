"""One command for each thing that must pass: `nox -l` lists them, `nox -s tests` does one.

Each session runs in an environment of its own, `nox -s lint --no-venv` in the one that is active.
"""

import glob
import os
import shutil

import nox

nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_existing_virtualenvs = True
# Two processes, each file's tests in one of them: most of the time is tracing, which uses one core.
TWO_PROCESSES = ("-n", "2", "--dist", "loadfile")


def install(session, extras):
    """The checkout with some of its extras, if the session has an environment of its own."""
    if session.virtualenv.is_sandboxed:
        session.install("-e", f".[{extras}]")


@nox.session
def tests(session):
    """The fast tests; arguments after `--` are pytest's."""
    install(session, "all")
    session.run("python", "-m", "pytest", "-q", *TWO_PROCESSES, "-m", "not slow", *session.posargs)


@nox.session
def all_tests(session):
    """All tests."""
    install(session, "all,hub,lint")
    session.run("python", "-m", "pytest", "-q", *TWO_PROCESSES, *session.posargs)


@nox.session
def lint(session):
    """flake8, ruff's lint, and its format."""
    install(session, "lint")
    session.run("python", "-m", "flake8")
    session.run("python", "-m", "ruff", "check")
    session.run("python", "-m", "ruff", "format", "--check")


@nox.session
def types(session):
    """mypy."""
    install(session, "all,lint")
    session.run("python", "-m", "mypy", *session.posargs)


@nox.session
def docs(session):
    """The site, in build/site; a warning is an error (MkDocs counts none with `--quiet`)."""
    install(session, "docs")
    session.run("python", "-m", "mkdocs", "build", "--strict", *session.posargs)


@nox.session
def package(session):
    """Wheel and source distribution, in dist/; `-- URL` of the repository has its links lead there.

    They are made of what is committed.
    """
    session.install("build", "twine")
    dist, copy = os.path.abspath("dist"), session.create_tmp()
    shutil.rmtree(f"{copy}/checkout", ignore_errors=True)
    session.run("git", "clone", "--quiet", ".", f"{copy}/checkout", external=True)
    with session.chdir(f"{copy}/checkout"):
        if session.posargs:
            session.run("python", "-m", "tools.site.package_page", *session.posargs)
        session.run("python", "-m", "build", "--outdir", dist)
    session.run("python", "-m", "twine", "check", "--strict", *glob.glob(f"{dist}/*"))
