# SPDX-License-Identifier: BSD-3-Clause
"""A module `gpiod` for programs that nobody changes: our chips, and the kernel's.

    python -m bridge.as_gpiod [--chip PATH=CHIP]... PROG.py [ARGUMENT]...

In that process, and in Python processes that it starts, ``import gpiod`` gets this
module: libgpiod's Python API, whose chips are those of `bridge`, and those of the kernel
where the path is that of a gpiochip's character device and the package gpiod (libgpiod 2)
is installed. ``--chip /dev/gpiochip0=fw-0`` leads a path that the program has built in
to a chip of ours.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from bridge import extras

if TYPE_CHECKING:
    from bridge.client.line_request import LineRequest
    from bridge.client.line_settings import LineConfig
    from bridge.line import Value

__all__ = ["environment", "install"]

#: Paths that lead to chips of ours, as ``PATH=CHIP`` with a line break between two.
CHIPS = "GPIO_BRIDGE_AS_GPIOD"

#: The release of the package gpiod whose shape this module has.
_VERSION = "2.5.0"

# Where a package gpiod is that installs this module; first on the path of a new process.
_PATH = str(Path(__file__).parent / "path")

# Both kinds of chip have these: the package's extension makes its objects by these modules.
_SHARED = ("chip_info", "edge_event", "exception", "info_event", "line", "line_info")
# Of the package gpiod: the parts that talk to the kernel, and what they make of settings.
_THEIRS = ("_ext", "_internal", "chip", "line_request", "line_settings")


def environment(
    chips: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the environment of a program that shall get this module as `gpiod`.

    Args:
        chips: which paths lead to which chips of ours, beside those of `environ`.
        environ: the environment to add to; None is that of this process.

    Raises ValueError when a path or a chip is empty or cannot be written there.
    """
    added = dict(os.environ if environ is None else environ)
    mapped = {**_chips(added), **(chips or {})}
    for path, chip in mapped.items():
        if not path or not chip or "=" in path or "\n" in path + chip:
            raise ValueError(f"{path}={chip}: write PATH=CHIP, as in /dev/gpiochip0=fw-0")
    added[CHIPS] = "\n".join(f"{path}={chip}" for path, chip in mapped.items())
    paths = [path for path in added.get("PYTHONPATH", "").split(os.pathsep) if path]
    added["PYTHONPATH"] = os.pathsep.join([_PATH, *(path for path in paths if path != _PATH)])
    return added


def install() -> ModuleType:
    """Make this the module `gpiod` of this process, and return it."""
    found = sys.modules.get("gpiod")
    if found is not None and getattr(found, "Chip", None) is Chip:
        return found
    module = ModuleType("gpiod", "libgpiod's Python API on chips of rpmsg-gpio-bridge.")
    package = _package()
    module.__path__ = [str(package)] if package else []
    ours = import_module("bridge")
    parts = {name: import_module(f"bridge.client.{name}") for name in _SHARED if name != "line"}
    parts["line"] = import_module("bridge.line")
    for name in ("line_request", "line_settings", "version"):
        parts[name] = import_module(f"bridge.client.{name}")
    parts["chip"] = ModuleType("gpiod.chip", "Chips, ours and the kernel's.")
    parts["chip"].__dict__.update(Chip=Chip, __all__=["Chip"])
    for name in ours.__all__:
        setattr(module, name, parts[name] if name in parts else getattr(ours, name))
    module.__dict__.update(
        Chip=Chip,
        is_gpiochip_device=is_gpiochip_device,
        request_lines=request_lines,
        __all__=ours.__all__,
        __version__=_VERSION,
    )
    sys.modules["gpiod"] = module
    sys.modules.update({f"gpiod.{name}": part for name, part in parts.items()})
    return module


def _chips(environ: Mapping[str, str]) -> dict[str, str]:
    """The paths that lead to chips of ours."""
    lines = environ.get(CHIPS, "").splitlines()
    return {path: chip for path, found, chip in (line.partition("=") for line in lines) if found}


def _led_to(path: str) -> str:
    """The chip of ours that a path leads to, else the path; what is no str is passed on."""
    return _chips(os.environ).get(path, path) if isinstance(path, str) else path


def _package() -> Path | None:
    """The folder of the installed package gpiod, libgpiod 2."""
    spec = PathFinder.find_spec("gpiod", [path for path in sys.path if path != _PATH])
    folder = Path(spec.origin).parent if spec and spec.origin else None
    return folder if folder and (folder / "line_request.py").is_file() else None


def _is_kernel(path: str) -> bool:
    """Whether a path leads to a character device: no chip of ours does."""
    try:
        return stat.S_ISCHR(os.stat(path).st_mode)
    except (OSError, TypeError, ValueError):
        return False


_kernel: type[Any] | None = None


def _kernel_chip() -> type[Any]:
    """The class Chip of the package gpiod, loaded when the first such chip is opened."""
    global _kernel  # noqa: PLW0603 - one a process, as the module is
    if _kernel is None:
        if not install().__path__:
            raise extras.missing("chips of the kernel", "gpiod")
        names = [f"gpiod.{name}" for name in _THEIRS]
        ours = {name: sys.modules.pop(name) for name in names if name in sys.modules}
        try:
            _kernel = import_module("gpiod.chip").Chip
        finally:
            for name in names:  # those of the package know each other now
                sys.modules.pop(name, None)
            sys.modules.update(ours)
    return _kernel


class _Kinds(type):
    """Chip makes chips of two classes, and both are instances of it."""

    def __call__(cls, path: str) -> Any:
        path = _led_to(path)
        if _is_kernel(path):
            return _kernel_chip()(path)
        return import_module("bridge").Chip(path)

    def __instancecheck__(cls, instance: object) -> bool:
        kinds = (import_module("bridge").Chip, *([_kernel] if _kernel else []))
        return isinstance(instance, kinds)


class Chip(metaclass=_Kinds):
    """Chip(path) opens a chip of ours, or of the kernel, as its path says."""

    def __init__(self, path: str) -> None:
        """Take the path of a gpiochip's device, or what bridge.Chip takes."""


def request_lines(
    path: str,
    config: LineConfig,
    consumer: str | None = None,
    event_buffer_size: int | None = None,
    output_values: Mapping[int | str, Value] | None = None,
) -> LineRequest:
    """Open a chip, request lines of it, close it; as gpiod.request_lines()."""
    with Chip(path) as chip:  # type: ignore[attr-defined]
        granted: LineRequest = chip.request_lines(
            config, consumer, event_buffer_size, output_values
        )
        return granted


def is_gpiochip_device(path: str) -> bool:
    """Whether a chip of either kind is at a path; as gpiod.is_gpiochip_device()."""
    path = _led_to(path)
    if _is_kernel(path):
        return _subsystem(os.stat(path).st_rdev) == "gpio"
    return bool(import_module("bridge").is_gpiochip_device(path))


def _subsystem(device: int) -> str:
    link = f"/sys/dev/char/{os.major(device)}:{os.minor(device)}/subsystem"
    try:
        return os.path.basename(os.readlink(link))
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise
        return ""
