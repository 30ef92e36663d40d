# SPDX-License-Identifier: BSD-3-Clause
"""Run a Python program whose `import gpiod` gets our chips, see bridge.as_gpiod."""

from __future__ import annotations

import os
import runpy
import sys

import click

from bridge import as_gpiod


def _mapped(
    _context: click.Context, _option: click.Parameter, given: tuple[str, ...]
) -> dict[str, str]:
    for text in given:
        if not all(text.partition("=")):
            raise click.BadParameter(f"{text}: write PATH=CHIP, as in /dev/gpiochip0=fw-0")
    return dict(text.split("=", 1) for text in given)


@click.command(
    "python -m bridge.as_gpiod",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option(
    "--chip", "chips", metavar="PATH=CHIP", multiple=True, callback=_mapped,
    help="What the program opens at PATH is this chip of ours. May be repeated.",
)  # fmt: skip
@click.option("-m", "module", is_flag=True, help="PROGRAM is a module, as for python -m.")
@click.argument("program")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def main(chips: dict[str, str], module: bool, program: str, arguments: tuple[str, ...]) -> None:
    r"""Run PROGRAM, a file of Python, with a module gpiod whose chips are ours.

    Chips are named as everywhere (fw-0, SOCKET#NAME, a link's URL); the path of a
    gpiochip's device is a chip of the kernel, which needs the package gpiod.

    \b
    python -m bridge.as_gpiod --chip /dev/gpiochip0=fw-0 blink.py
    """
    os.environ.update(as_gpiod.environment(chips))
    as_gpiod.install()
    sys.argv = [program, *arguments]
    if module:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
        return
    if not os.path.exists(program):
        raise click.UsageError(f"{program}: there is no such file")
    sys.path.insert(0, os.path.dirname(os.path.abspath(program)))
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main()
