/* SPDX-License-Identifier: BSD-3-Clause */
/* The RAM of one RPMsg remote, for make mcu. */
#include "rpmsg_remote.h"

extern struct rpmsg_remote remote;
struct rpmsg_remote remote;
