# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge completion: what a shell needs to complete verbs, options, chips and lines.

The shell's part and the protocol are click's.
"""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from bridge.cli.group import cli

_BASH_NO_BLANK = """    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace"""
_VARIABLE = "_GPIO_BRIDGE_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh"]))
def completion(shell: str) -> int:
    """Print what a shell needs to complete verbs, options, chips and lines.

    \b
      source <(gpio-bridge completion bash)        in this shell
      gpio-bridge completion bash > ~/.local/share/bash-completion/completions/gpio-bridge
      gpio-bridge completion zsh > ~/.zfunc/_gpio-bridge    with ~/.zfunc in fpath
    """
    print(source(shell))
    return 0


def source(shell: str) -> str:
    """Return what the verb prints for a shell."""
    found = get_completion_class(shell)
    assert found is not None
    # After LINE= comes the value, without a blank.
    no_blank = f"{_BASH_NO_BLANK}\n    return 0\n}}"
    return found(cli, {}, "gpio-bridge", _VARIABLE).source().replace("    return 0\n}", no_blank)
