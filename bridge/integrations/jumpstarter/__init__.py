# SPDX-License-Identifier: BSD-3-Clause
"""jumpstarter on our lines: drivers run in its exporter, clients where `jmp` runs."""
