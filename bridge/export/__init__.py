# SPDX-License-Identifier: BSD-3-Clause
"""Other faces of the same chips: what a guest kernel gets of them."""
