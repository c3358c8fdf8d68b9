"""`frcrn completion`: what a shell needs to complete commands, options and files."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

DESCRIPTION = """Print a script that makes a shell complete the commands and options of frcrn. For bash, put
`source <(frcrn completion bash)` into ~/.bashrc; for zsh, `source <(frcrn completion zsh)` into ~/.zshrc, after
compinit; for fish, `frcrn completion fish | source` into ~/.config/fish/config.fish."""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("completion", help="make a shell complete commands", description=DESCRIPTION)
    parser.add_argument("shell", choices=list(SCRIPTS), help="the shell")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    from frcrn.cli import build_parser

    print(SCRIPTS[args.shell](words_by_command(build_parser())))
    return 0


def words_by_command(parser: argparse.ArgumentParser, path: str = "") -> dict[str, list[str]]:
    """Return each command's path ("data mix") and the words that may follow it."""
    table: dict[str, list[str]] = {path: []}
    for action in parser._actions:  # noqa: SLF001
        table[path] += action.option_strings
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for name, below in action.choices.items():
                table[path].append(name)
                table |= words_by_command(below, f"{path} {name}".strip())
        elif action.choices and not action.option_strings:
            table[path] += map(str, action.choices)
    return table


def _cases(table: dict[str, list[str]]) -> Iterator[str]:
    for path, words in table.items():
        yield f'        "{path}") words="{" ".join(words)}" ;;'


def _bash(table: dict[str, list[str]]) -> str:
    cases = "\n".join(_cases(table))
    known = " ".join(f'"{path}"' for path in table if path)
    return f"""_frcrn() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" path="" words="" word next
    for word in "${{COMP_WORDS[@]:1:$((COMP_CWORD - 1))}}"; do
        next="${{path:+$path }}$word"
        for known in {known}; do [ "$known" = "$next" ] && path="$next"; done
    done
    case "$path" in
{cases}
    esac
    local IFS=$'\\n'
    COMPREPLY=($(compgen -W "${{words// /$'\\n'}}" -- "$current") $(compgen -f -- "$current"))
}}
complete -o filenames -F _frcrn frcrn"""


def _zsh(table: dict[str, list[str]]) -> str:
    return "autoload -U +X bashcompinit && bashcompinit\n" + _bash(table)


def _fish(table: dict[str, list[str]]) -> str:
    lines = []
    for path, words in table.items():
        seen = " ; and ".join(f"__fish_seen_subcommand_from {part}" for part in path.split()) or "__fish_use_subcommand"
        lines.append(f"complete -c frcrn -n '{seen}' -a '{' '.join(words)}'")
    return "\n".join(lines)


SCRIPTS = {"bash": _bash, "zsh": _zsh, "fish": _fish}
