"""Shell completion scripts, made from the verbs' own arguments. Pure."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pdsup.plan.check_values import SIGNALS as SIGNAL_NAMES

NAMES = "pdsup completion names 2>/dev/null"
RUNS = "pdsup completion runs 2>/dev/null"
SIGNALS = sorted(SIGNAL_NAMES | {"CONT", "STOP"})


@dataclass(frozen=True, slots=True)
class Verb:
    """What can follow a verb: unit names if ``units``, and ``words``, else files. After --run-dir
    it is a run, whose units are offered then.
    """

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
    words += SIGNALS if any(action.metavar == "SIG" for action in positional) else []
    return Verb(name, summary, options, units, words)


def bash(verbs: Sequence[Verb]) -> str:
    """The script for ``source <(pdsup completion bash)``."""
    cases = "\n".join(f"        {v.name}) {_settings(v)} ;;" for v in verbs)
    return f"""\
_pdsup() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} options= choices= units= i run=$PDSUP_RUN_DIR
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{" ".join(v.name for v in verbs)}" -- "$word"))
        return
    fi
    case ${{COMP_WORDS[1]}} in
{cases}
    esac
    for ((i = 2; i < COMP_CWORD - 1; i++)); do
        [ "${{COMP_WORDS[i]}}" != --run-dir ] || run=${{COMP_WORDS[i + 1]}}
    done
    if [ "${{COMP_WORDS[COMP_CWORD - 1]}}" = --run-dir ]; then
        COMPREPLY=($(compgen -W "$({RUNS})" -- "$word"; compgen -d -- "$word"))
        return
    fi
    [ -z "$units" ] || choices="$choices $(PDSUP_RUN_DIR=$run {NAMES})"
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
    local options= choices= units= run=$PDSUP_RUN_DIR
    local -a verbs
    local -i at=${{words[(I)--run-dir]}}
    if (( CURRENT == 2 )); then
        verbs=({described})
        _describe 'verb' verbs
        return
    fi
    case $words[2] in
{cases}
    esac
    (( at == 0 || at >= CURRENT - 1 )) || run=$words[at+1]
    [[ -z $units ]] || choices="$choices $(PDSUP_RUN_DIR=$run {NAMES})"
    if [[ $words[CURRENT-1] == --run-dir ]]; then
        compadd -- ${{(f)"$({RUNS})"}}
        _files -/
    elif [[ $PREFIX == -* ]]; then
        compadd -- ${{=options}}
    elif [[ -n $choices ]]; then
        compadd -- ${{=choices}}
    else
        _files
    fi
}}
(( $+functions[compdef] )) && compdef _pdsup pdsup
"""


# Of the run that the line names.
FISH_NAMES = f"""\
function __pdsup_names
    set -l words (commandline -opc)
    if set -l at (contains -i -- --run-dir $words)
        set -lx PDSUP_RUN_DIR $words[(math $at + 1)]
        {NAMES}
    else
        {NAMES}
    end
end"""


def fish(verbs: Sequence[Verb]) -> str:
    """The script for ``pdsup completion fish | source``."""
    lines = [FISH_NAMES]
    for v in verbs:
        lines.append(
            f"complete -c pdsup -n __fish_use_subcommand -f -a {v.name} -d '{_quoted(v.summary)}'"
        )
        here = f"complete -c pdsup -n '__fish_seen_subcommand_from {v.name}'"
        lines += [f"{here} {_fish(option)} -d '{_quoted(about)}'" for option, about in v.options]
        if v.units:
            lines.append(f"{here} -f -a '(__pdsup_names)'")
        if v.words:
            lines.append(f"{here} -f -a '{' '.join(v.words)}'")
    return "\n".join(lines) + "\n"


def _fish(option: str) -> str:
    if option == "--run-dir":
        return f"-l run-dir -r -a '({RUNS})'"
    return f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"


def _settings(v: Verb) -> str:
    options = " ".join(option for option, _ in v.options)
    units = "1" if v.units else ""
    return f'options="{options}" choices="{" ".join(v.words)}" units={units}'


def _quoted(text: str) -> str:
    """Text that is safe inside a shell's single quotes, and without ':', which zsh splits at."""
    return text.replace("'", "").replace(":", ",")


SCRIPTS: Mapping[str, Callable[[Sequence[Verb]], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
