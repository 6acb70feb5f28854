"""These are read by mypy, not run."""

collect_ignore = ["mistakes.py", "user.py"]
