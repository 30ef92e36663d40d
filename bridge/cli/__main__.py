# SPDX-License-Identifier: BSD-3-Clause
"""python -m bridge.cli is gpio-bridge."""

from bridge.cli.main import main

if __name__ == "__main__":
    main()
