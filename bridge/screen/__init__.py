# SPDX-License-Identifier: BSD-3-Clause
"""The lines of a service on a screen: `gpio-bridge watch`."""
