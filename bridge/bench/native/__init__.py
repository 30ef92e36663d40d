# SPDX-License-Identifier: BSD-3-Clause
"""C of the benchmarks: floors, and a lean guest; a compiled module of its own."""
