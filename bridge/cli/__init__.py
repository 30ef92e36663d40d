# SPDX-License-Identifier: BSD-3-Clause
"""The command line: gpio-bridge <verb>, one module a verb."""
