# SPDX-License-Identifier: BSD-3-Clause
"""Tests inside a real Linux kernel that runs as a process (User-Mode Linux)."""
