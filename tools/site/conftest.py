"""Modules that import MkDocs or drive a browser are not collected; building the site tests them."""

collect_ignore = ["examples.py", "hooks.py", "picture.py"]
