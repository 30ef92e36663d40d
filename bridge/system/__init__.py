# SPDX-License-Identifier: BSD-3-Clause
"""What the system needs around the program: put into its places, and taken away again."""
