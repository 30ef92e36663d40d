# SPDX-License-Identifier: BSD-3-Clause
"""The C data plane and its typed Python face.

`bridge.shim.ffi` is the only module that imports the compiled part;
`bridge.shim.pump` is the service's view of it, `bridge.shim.client` the client's.
"""
