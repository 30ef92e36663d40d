/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rpmsg_ns.h - a stand-in for the header of RPMsg-Lite: what the kit uses of it.
 */
#ifndef STAND_IN_RPMSG_NS_H
#define STAND_IN_RPMSG_NS_H

#include "rpmsg_lite.h"

#define RL_NS_CREATE 0

int32_t rpmsg_ns_announce(struct rpmsg_lite_instance *dev, struct rpmsg_lite_endpoint *new_ept,
			  const char *ept_name, uint32_t flags);

#endif
