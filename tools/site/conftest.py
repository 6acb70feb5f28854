"""What imports MkDocs is tested by building the site."""

collect_ignore = ["examples.py", "hooks.py"]
