# SPDX-License-Identifier: BSD-3-Clause
"""The version of the package, where ``gpiod.version`` has it."""

from bridge import __version__ as __version__  # noqa: PLC0414 - mypy: it is exported
