# SPDX-License-Identifier: BSD-3-Clause
"""gpio-bridge remoteproc: remote processors by name."""

from __future__ import annotations

import click

from bridge import remoteproc as processors
from bridge.cli.output import print_json
from bridge.text import printable

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group(context_settings=_CONTEXT)
def remoteproc() -> None:
    """Start and stop remote processors, by their names.

    \b
      gpio-bridge remoteproc list
      gpio-bridge remoteproc status m4_0
      gpio-bridge remoteproc load m4_0 /lib/firmware/gpio.elf
      gpio-bridge remoteproc start m4_0
      gpio-bridge remoteproc stop m4_0
      gpio-bridge remoteproc trace m4_0

    start, stop and load write to sysfs, trace reads debugfs: they need root.
    """


@remoteproc.command("list", context_settings=_CONTEXT)
@_JSON
def list_(as_json: bool) -> int:
    """List the processors: name, state, firmware.

    \b
      gpio-bridge remoteproc list
      gpio-bridge remoteproc list --json
    """
    found = processors.processors()
    if as_json:
        print_json({"processors": [_about(each) for each in found]})
        return 0
    if not found:
        print("no remote processor here; gpio-bridge doctor says why")
    width = max((len(each.name) for each in found), default=0)
    for each in found:
        print(f"{each.name:{width}}  {each.state:9}  {each.firmware}")
    return 0


@remoteproc.command(context_settings=_CONTEXT)
@_JSON
@click.argument("name")
def status(name: str, as_json: bool) -> int:
    """Show a processor; the exit status is 0 when its firmware runs, else 1.

    \b
      gpio-bridge remoteproc status m4_0
    """
    processor = processors.find(name)
    about = _about(processor)
    if as_json:
        print_json(about)
    else:
        for key, value in about.items():
            print(f"{key:8}  {value}")
    return 0 if about["state"] in ("running", "attached") else 1


def _about(processor: processors.RemoteProcessor) -> dict[str, str]:
    return {
        "name": processor.name,
        "state": processor.state,
        "firmware": processor.firmware,
        "recovery": processor.recovery,
        "sysfs": str(processor.path),
    }


def _tell(processor: processors.RemoteProcessor, changed: bool) -> int:
    print(f"{processor.name} is {processor.state}{'' if changed else ' already'}")
    return 0


@remoteproc.command(context_settings=_CONTEXT)
@click.argument("name")
def start(name: str) -> int:
    """Load a processor's firmware and start it.

    \b
      gpio-bridge remoteproc start m4_0
    """
    processor = processors.find(name)
    return _tell(processor, processor.start())


@remoteproc.command(context_settings=_CONTEXT)
@click.argument("name")
def stop(name: str) -> int:
    """Stop a processor.

    \b
      gpio-bridge remoteproc stop m4_0
    """
    processor = processors.find(name)
    return _tell(processor, processor.stop())


@remoteproc.command(context_settings=_CONTEXT)
@click.argument("name")
@click.argument("file")
def load(name: str, file: str) -> int:
    """Say which firmware the next start loads.

    FILE lies where the kernel looks, such as /lib/firmware: a path there, or a name as
    status shows it.

    \b
      gpio-bridge remoteproc load m4_0 gpio.elf
    """
    processor = processors.find(name)
    print(f"{name} will start {processor.load(file)}")
    return 0


@remoteproc.command(context_settings=_CONTEXT)
@click.argument("name")
def trace(name: str) -> int:
    """Print what a processor's firmware says in its trace buffers.

    \b
      gpio-bridge remoteproc trace m4_0
    """
    for text in processors.find(name).trace():
        for line in text.splitlines():
            print(printable(line))
    return 0
