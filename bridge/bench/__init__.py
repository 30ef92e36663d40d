# SPDX-License-Identifier: BSD-3-Clause
"""What gpio-bridge demo and gpio-bridge bench run: a stub, a service, measurements."""
