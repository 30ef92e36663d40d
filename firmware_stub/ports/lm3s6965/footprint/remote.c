/* SPDX-License-Identifier: BSD-3-Clause */
/* The RAM of one RPMsg remote, for make mcu. */
#include "rpmsg_remote.h"

extern struct remote_rings remote;
struct remote_rings remote;
