/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rpmsg_config.h - RPMsg-Lite's settings that Linux and this kit ask for.
 */
#ifndef RPMSG_CONFIG_H
#define RPMSG_CONFIG_H

/* Buffers of one direction: the figure of the vrings in the resource table. A mismatch corrupts
 * memory. Linux has 512 bytes a buffer, 16 of them the header. */
#define RL_BUFFER_COUNT 256U
#define RL_BUFFER_PAYLOAD_SIZE 496U

/* Buffers are held until their turn, and given back in it. */
#define RL_API_HAS_ZEROCOPY 1

/* Linux waits for it when all of its buffers are used. */
#define RL_ALLOW_CONSUMED_BUFFERS_NOTIFICATION 1

#endif
