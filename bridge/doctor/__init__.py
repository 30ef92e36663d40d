# SPDX-License-Identifier: BSD-3-Clause
"""What goes wrong on boards, looked for and explained."""
