# SPDX-License-Identifier: BSD-3-Clause
"""What goes over links, for people: records decoded, and files that Wireshark opens."""
