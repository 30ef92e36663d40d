# SPDX-License-Identifier: BSD-3-Clause
"""The same lines in the words of other programs, a module for each, over the client API.

Each runs in the process of the program that it is for, or in one of its own, and needs
that program's packages (an extra of the same name). The service and the tools import
none of them.
"""
