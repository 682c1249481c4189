"""Shell completion scripts, made from the verbs' own arguments. Pure."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

NAMES = "pdsup completion names 2>/dev/null"


@dataclass(frozen=True, slots=True)
class Verb:
    """What can follow a verb: unit names if ``units``, else ``words`` or files."""

    name: str
    summary: str
    options: Sequence[tuple[str, str]]
    units: bool
    words: Sequence[str]


def verb(name: str, summary: str, parser: argparse.ArgumentParser) -> Verb:
    """The completions of a verb, from its parser."""
    actions = parser._actions
    options = [
        (option, action.help or "")
        for action in actions
        for option in action.option_strings
        if option not in ("-h", "--help")
    ]
    positional = [action for action in actions if not action.option_strings]
    units = any("UNIT" in str(action.metavar) for action in positional)
    words = [str(word) for action in positional for word in action.choices or ()]
    return Verb(name, summary, options, units, words)


def bash(verbs: Sequence[Verb]) -> str:
    """The script for ``source <(pdsup completion bash)``."""
    cases = "\n".join(f"        {v.name}) {_settings(v)} ;;" for v in verbs)
    return f"""\
_pdsup() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} options= choices= units=
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{" ".join(v.name for v in verbs)}" -- "$word"))
        return
    fi
    case ${{COMP_WORDS[1]}} in
{cases}
    esac
    [ -z "$units" ] || choices=$({NAMES})
    case $word in
        -*) COMPREPLY=($(compgen -W "$options" -- "$word")) ;;
        *) COMPREPLY=($(compgen -W "$choices" -- "$word")) ;;
    esac
}}
complete -o default -F _pdsup pdsup
"""


def zsh(verbs: Sequence[Verb]) -> str:
    """The script for ``source <(pdsup completion zsh)``, or for ``_pdsup`` in ``fpath``."""
    described = " ".join(f"'{v.name}:{_quoted(v.summary)}'" for v in verbs)
    cases = "\n".join(f"        {v.name}) {_settings(v)} ;;" for v in verbs)
    return f"""\
#compdef pdsup
_pdsup() {{
    local options= choices= units=
    local -a verbs
    if (( CURRENT == 2 )); then
        verbs=({described})
        _describe 'verb' verbs
        return
    fi
    case $words[2] in
{cases}
    esac
    [[ -z $units ]] || choices=$({NAMES})
    if [[ $PREFIX == -* ]]; then
        compadd -- ${{=options}}
    elif [[ -n $choices ]]; then
        compadd -- ${{=choices}}
    else
        _files
    fi
}}
(( $+functions[compdef] )) && compdef _pdsup pdsup
"""


def fish(verbs: Sequence[Verb]) -> str:
    """The script for ``pdsup completion fish | source``."""
    lines = []
    for v in verbs:
        lines.append(
            f"complete -c pdsup -n __fish_use_subcommand -f -a {v.name} -d '{_quoted(v.summary)}'"
        )
        here = f"complete -c pdsup -n '__fish_seen_subcommand_from {v.name}'"
        lines += [f"{here} {_fish(option)} -d '{_quoted(about)}'" for option, about in v.options]
        if v.units:
            lines.append(f"{here} -f -a '({NAMES})'")
        if v.words:
            lines.append(f"{here} -f -a '{' '.join(v.words)}'")
    return "\n".join(lines) + "\n"


def _fish(option: str) -> str:
    return f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"


def _settings(v: Verb) -> str:
    options = " ".join(option for option, _ in v.options)
    units = "1" if v.units else ""
    return f'options="{options}" choices="{" ".join(v.words)}" units={units}'


def _quoted(text: str) -> str:
    """Text that is safe inside a shell's single quotes, and without ':', which zsh splits at."""
    return text.replace("'", "").replace(":", ",")


SCRIPTS: Mapping[str, Callable[[Sequence[Verb]], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
