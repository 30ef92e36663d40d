# SPDX-License-Identifier: BSD-3-Clause
"""The libgpiod-shaped Python API over the control socket of the service."""
