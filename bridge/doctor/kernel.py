# SPDX-License-Identifier: BSD-3-Clause
"""Checks of the kernel: the options that rpmsg needs, by name and place in the menu.

Prompts and menus are those of Linux 7.3, what vendors ship is cited in docs/boards.
"""

from __future__ import annotations

import errno
import gzip
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from bridge.doctor.findings import Finding, Place, note, ok, problem

__all__ = ["OPTIONS", "SOCS", "fragment", "kernel"]


class Option(NamedTuple):
    """An option of the kernel.

    Attributes:
        name: without CONFIG_.
        menu: where `make menuconfig` has it.
        without: what does not work without it.
        module: what it builds; empty where it can only be built in.
        needed: whether nothing works without it.
        value: what to set it to.
    """

    name: str
    menu: str
    without: str
    module: str = ""
    needed: bool = True
    value: str = "m"

    @property
    def line(self) -> str:
        """The option as a line of a configuration."""
        return f"CONFIG_{self.name}={self.value}"


class Soc(NamedTuple):
    """A family of SoCs.

    Attributes:
        title: as its vendor calls it.
        compatible: how its compatible in the device tree begins.
        options: what its coprocessors need beside `OPTIONS`.
        vendor: what is known of the vendor's kernel.
    """

    title: str
    compatible: tuple[str, ...]
    options: tuple[Option, ...]
    vendor: str


_RPROC = "Device Drivers > Remoteproc drivers"
_RPMSG = "Device Drivers > Rpmsg drivers"
_MAILBOX = "Device Drivers > Mailbox Hardware Support"
OPTIONS = (
    Option(
        "REMOTEPROC", f"{_RPROC} > Support for Remote Processor subsystem",
        "Linux cannot load, start or attach to a processor", value="y",
    ),
    Option(
        "RPMSG_VIRTIO", f"{_RPMSG} > Virtio RPMSG bus driver",
        "there is no rpmsg bus, and no channel", "virtio_rpmsg_bus", value="y",
    ),
    Option(
        "RPMSG_CHAR", f"{_RPMSG} > RPMSG device interface",
        "there is no /dev/rpmsgN that a program could open", "rpmsg_char",
    ),
    Option(
        "RPMSG_CTRL", f"{_RPMSG} > RPMSG control interface",
        "firmware without name service cannot be reached", "rpmsg_ctrl", needed=False,
    ),
    Option(
        "REMOTEPROC_CDEV", f"{_RPROC} > Remoteproc character device interface",
        "serve --remoteproc NAME,auto-stop cannot work", needed=False, value="y",
    ),
    Option(
        "RPMSG_TTY", "Device Drivers > Character devices > RPMSG tty driver",
        "links serial:rpmsg-tty cannot work", "rpmsg_tty", needed=False,
    ),
)  # fmt: skip
SOCS = (
    Soc(
        "STM32MP1 and STM32MP2", ("st,stm32mp1", "st,stm32mp2"),
        (
            Option("STM32_RPROC", f"{_RPROC} > STM32 remoteproc support",
                   "the Cortex-M cannot be started", "stm32_rproc"),
            Option("STM32_IPCC", f"{_MAILBOX} > STM32 IPCC Mailbox",
                   "neither side can tell the other of messages", "stm32-ipcc"),
        ),
        "ST's kernel has all of these, RPMSG_CHAR, RPMSG_CTRL and RPMSG_TTY as modules; mainline "
        "up to 7.3 starts the Cortex-M4 of STM32MP1 only",
    ),
    Soc(
        "i.MX 8M and i.MX 93", ("fsl,imx8m", "fsl,imx93"),
        (
            Option("IMX_REMOTEPROC", f"{_RPROC} > i.MX remoteproc support",
                   "the Cortex-M cannot be started or attached to", "imx_rproc"),
            Option("IMX_MBOX", f"{_MAILBOX} > i.MX Mailbox",
                   "neither side can tell the other of messages", "imx-mailbox"),
        ),
        "NXP's imx_v8_defconfig has these, RPMSG_CHAR, RPMSG_CTRL and RPMSG_TTY as modules",
    ),
    Soc(
        "AM62x and AM64x", ("ti,am62", "ti,am64"),
        (
            Option("TI_K3_M4_REMOTEPROC", f"{_RPROC} > TI K3 M4 remoteproc support",
                   "the Cortex-M4F cannot be started or attached to", "ti_k3_m4_remoteproc",
                   needed=False),
            Option("TI_K3_R5_REMOTEPROC", f"{_RPROC} > TI K3 R5 remoteproc support",
                   "the Cortex-R5F cannot be started or attached to", "ti_k3_r5_remoteproc",
                   needed=False),
            Option("OMAP2PLUS_MBOX", f"{_MAILBOX} > OMAP2+ Mailbox framework support",
                   "neither side can tell the other of messages", "omap-mailbox"),
        ),
        "the defconfig of arm64, on which TI's kernel builds, has these as modules, RPMSG_CHAR and "
        "RPMSG_CTRL too",
    ),
)  # fmt: skip
_DEBIAN = (
    "Debian's kernel for arm64 has REMOTEPROC, but neither RPMSG_VIRTIO, RPMSG_CHAR nor "
    "RPMSG_CTRL: build one from linux-source, with gpio-bridge doctor --kernel-fragment merged"
)
_DEBIAN_ARM64 = "-arm64 (debian-kernel@"
_OPTION = re.compile(r"^CONFIG_(\w+)=([ym])$", re.MULTILINE)
_TITLE = re.compile(r"^# Linux/\S+ (\d+)\.(\d+)\S* Kernel Configuration", re.MULTILINE)
# All others are loaded for a device, or a channel, that has their alias.
_LOADED_BY_HAND = ("virtio_rpmsg_bus", "rpmsg_char", "rpmsg_ctrl")
# What was a part of RPMSG_CHAR before was made an option of its own.
_CTRL_SINCE = (5, 18)


def fragment(place: Place) -> str:
    """Return what to merge into a kernel's configuration, scripts/kconfig/merge_config.sh's way.

    Args:
        place: whose SoC it is for; where that is none of `SOCS`, their options are comments.
    """
    lines = [
        "# GPIO lines of a coprocessor over rpmsg: merge this into the kernel's configuration."
    ]
    for option in OPTIONS:
        lines += [f"# {option.menu}", option.line]
    known = _soc(place)
    for soc in [known] if known else SOCS:
        lines += ["", f"# {soc.title}"]
        for option in soc.options:
            lines += [f"# {option.menu}", f"{'' if known else '# '}{option.line}"]
    return "\n".join(lines) + "\n"


def kernel(place: Place) -> Iterator[Finding]:
    """Options, modules, and whether there is a bus."""
    check = "kernel"
    source, values, release = _configuration(place)
    soc = None if place.kernel_config else _soc(place)
    if not source:
        yield note(check, "its configuration is not to be had (/proc/config.gz, /boot/config-*)")
        source, values = _from_modules(place)
    if source:
        options = (*OPTIONS, *(soc.options if soc else ()))
        found = list(_options(place, source, values, release, options))
        yield from found
        if soc and any(finding.level == "problem" for finding in found):
            yield note(check, f"{soc.title}: {soc.vendor}; docs/boards has a page for it")
        if _DEBIAN_ARM64 in _read(f"{place.proc}/version") and "RPMSG_VIRTIO" not in values:
            yield note(check, _DEBIAN)
    if place.kernel_config:
        if release == (0, 0):
            yield note(check, f"{source} is no whole .config: what others select is not in it")
        return
    if not os.path.isdir(f"{place.sysfs}/bus/rpmsg"):
        yield problem(check, "no-rpmsg", f"{place.sysfs}/bus/rpmsg does not exist")
    elif not source and not os.path.isdir(f"{place.sysfs}/bus/rpmsg/drivers/rpmsg_chrdev"):
        yield problem(check, "module-missing", "rpmsg_char")


def _options(
    place: Place,
    source: str,
    values: dict[str, str],
    release: tuple[int, int],
    options: Iterable[Option],
) -> Iterator[Finding]:
    """What is missing of the options, and of the modules that they are."""
    check = "kernel"
    there = [f"CONFIG_{o.name}={values[o.name]}" for o in options if o.name in values]
    if there:
        yield ok(check, f"{', '.join(there)} in {source}")
    modules = None if place.kernel_config else _modules(place)
    for option in options:
        what = f"CONFIG_{option.name} ({option.menu}) is not in {source}: {option.without}"
        if option.name in values:
            if values[option.name] == "m" and modules is not None:
                yield from _module(place, option, modules)
        elif (
            option.name == "RPMSG_CTRL"
            and (0, 0) < release < _CTRL_SINCE
            and "RPMSG_CHAR" in values
        ):
            yield ok(check, f"Linux {release[0]}.{release[1]} has RPMSG_CTRL within RPMSG_CHAR")
        elif option.needed:
            yield problem(check, "option-missing", what)
        else:
            yield note(check, what)


def _module(place: Place, option: Option, modules: set[str]) -> Iterator[Finding]:
    """Whether the module of an option is installed, and loaded where no device asks for it."""
    name = option.module.replace("-", "_")
    if os.path.isdir(f"{place.sysfs}/module/{name}"):
        return
    if modules and name not in modules:
        yield problem("kernel", "module-absent", option.module)
    elif name in _LOADED_BY_HAND:
        yield problem("kernel", "module-missing", option.module)


def _configuration(place: Place) -> tuple[str, dict[str, str], tuple[int, int]]:
    """The file with the kernel's configuration, what it sets, and its release."""
    release = os.uname().release
    for path in [place.kernel_config] if place.kernel_config else [
        f"{place.proc}/config.gz",
        f"{place.boot}/config-{release}",
        f"{_modules_folder(place)}/config",
    ]:  # fmt: skip
        try:
            data = Path(path).read_bytes()
            text = (gzip.decompress(data) if path.endswith(".gz") else data).decode(
                "ascii", "replace"
            )
        except (OSError, EOFError, zlib.error) as error:
            if place.kernel_config:
                reason = getattr(error, "strerror", None) or str(error)
                number = getattr(error, "errno", None) or errno.EINVAL
                raise OSError(number, f"{path} is no kernel configuration: {reason}") from None
            continue
        title = _TITLE.search(text)
        numbers = (int(title[1]), int(title[2])) if title else (0, 0)
        return path, dict(_OPTION.findall(text)), numbers
    return "", {}, (0, 0)


def _from_modules(place: Place) -> tuple[str, dict[str, str]]:
    """What the kernel's modules tell of its options; nothing where there are none."""
    folder = _modules_folder(place)
    built_in, modules = _names(f"{folder}/modules.builtin"), _modules(place)
    if not (built_in or modules):
        return "", {}
    values = {}
    for option in (*OPTIONS, *(option for soc in SOCS for option in soc.options)):
        name = option.module.replace("-", "_")
        if name in built_in:
            values[option.name] = "y"
        elif name in modules or (name and os.path.isdir(f"{place.sysfs}/module/{name}")):
            values[option.name] = "m"
    if os.path.isdir(f"{place.sysfs}/class/remoteproc"):
        values["REMOTEPROC"] = "y"
    return f"{folder}/modules.builtin and modules.dep", values


def _modules_folder(place: Place) -> str:
    return os.path.join(place.libraries[-1], "modules", os.uname().release)


def _modules(place: Place) -> set[str]:
    """The modules that are installed; none where that is not known."""
    return _names(f"{_modules_folder(place)}/modules.dep")


def _names(path: str) -> set[str]:
    """Modules by their names, of a file that has a path first on each line."""
    files = (line.partition(":")[0] for line in _read(path).splitlines())
    return {os.path.basename(file).partition(".ko")[0].replace("-", "_") for file in files}


def _soc(place: Place) -> Soc | None:
    """The family of this board, by its device tree."""
    compatible = _read(f"{place.proc}/device-tree/compatible").split("\0")
    matches = (soc for soc in SOCS if any(c.startswith(soc.compatible) for c in compatible))
    return next(matches, None)


def _read(path: str) -> str:
    """A file's text; empty where there is none."""
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""
