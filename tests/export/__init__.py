# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the faces that guest kernels see."""
