/* SPDX-License-Identifier: BSD-3-Clause */
/* ipc_notify.h - a stand-in for TI's MCU+ SDK. */
#ifndef STAND_IN_IPC_NOTIFY_H
#define STAND_IN_IPC_NOTIFY_H

#include <stdint.h>

typedef void (*IpcNotify_FxnCallback)(uint32_t core, uint16_t client, uint32_t message,
				      int32_t crc, void *args);

int32_t IpcNotify_sendMsg(uint32_t core, uint16_t client, uint32_t message, uint32_t wait);
int32_t IpcNotify_registerClient(uint16_t client, IpcNotify_FxnCallback callback, void *args);

#endif
