# SPDX-License-Identifier: BSD-3-Clause
"""`import gpiod` where this folder is on the path: bridge.as_gpiod takes this module's place."""

from bridge import as_gpiod

as_gpiod.install()
