# SPDX-License-Identifier: BSD-3-Clause
"""Controllers, chips, lines and line requests: ownership and the kernel's semantics."""
