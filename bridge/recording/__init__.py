# SPDX-License-Identifier: BSD-3-Clause
"""Recordings of lines: made, kept in files, shown, and played."""
