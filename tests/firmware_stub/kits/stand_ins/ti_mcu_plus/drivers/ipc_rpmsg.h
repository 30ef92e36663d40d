/* SPDX-License-Identifier: BSD-3-Clause */
/* ipc_rpmsg.h - a stand-in for TI's MCU+ SDK. */
#ifndef STAND_IN_IPC_RPMSG_H
#define STAND_IN_IPC_RPMSG_H

#include <stdint.h>

#include <kernel/dpl/SystemP.h>

#define RPMESSAGE_MAX_LOCAL_ENDPT 64u

typedef struct RPMessage_Object_s {
	uintptr_t rsv[32];
} RPMessage_Object;

typedef void (*RPMessage_RecvCallback)(RPMessage_Object *obj, void *arg, void *data,
				       uint16_t length, int32_t crc, uint16_t core, uint16_t port);
typedef void (*RPMessage_RecvNotifyCallback)(RPMessage_Object *obj, void *arg);

typedef struct {
	uint16_t localEndPt;
	RPMessage_RecvCallback recvCallback;
	void *recvCallbackArgs;
	RPMessage_RecvNotifyCallback recvNotifyCallback;
	void *recvNotifyCallbackArgs;
} RPMessage_CreateParams;

void RPMessage_CreateParams_init(RPMessage_CreateParams *params);
int32_t RPMessage_waitForLinuxReady(uint32_t timeout);
int32_t RPMessage_construct(RPMessage_Object *obj, const RPMessage_CreateParams *params);
uint16_t RPMessage_getLocalEndPt(const RPMessage_Object *obj);
int32_t RPMessage_announce(uint16_t core, uint16_t port, const char *name);
int32_t RPMessage_send(void *data, uint16_t length, uint16_t core, uint16_t port,
		       uint16_t local_port, uint32_t timeout);
int32_t RPMessage_recv(RPMessage_Object *obj, void *data, uint16_t *length, uint16_t *core,
		       uint16_t *port, uint32_t timeout);

#endif
