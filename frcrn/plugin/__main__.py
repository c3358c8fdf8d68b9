"""ModelScope's own command line with this plugin registered: `python -m frcrn.plugin server --model_id DIR ...`.

Its programs import no plugins, so that they know no model of ours, and its server asks the hub even for a directory.
This registers first, lets the server take directories and nothing that reads or writes files of the machine it runs on
(`frcrn.plugin.server`), and hands over.
"""

from __future__ import annotations

from contextlib import suppress


def main() -> None:
    """Hand over to the framework."""
    from modelscope.cli.cli import run_cmd

    from frcrn.plugin import server

    with suppress(ImportError):  # the server's packages; the other commands need none of them
        server.prepare()
    run_cmd()


if __name__ == "__main__":
    main()
