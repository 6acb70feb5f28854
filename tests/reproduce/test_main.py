"""The list of commands."""

import importlib.util

from reproduce import __main__


def test_every_command_is_listed_with_what_it_does(capsys):
    __main__.main()
    out = capsys.readouterr().out
    for module in __main__.COMMANDS:
        assert importlib.util.find_spec(module)
        assert f"python -m {module} " in out
    assert "Figure 5 (right)" in out
