/* SPDX-License-Identifier: BSD-3-Clause */
/* FreeRTOS.h - a stand-in for FreeRTOS on a Cortex-M. */
#ifndef STAND_IN_FREERTOS_H
#define STAND_IN_FREERTOS_H

#include <stdint.h>

typedef long BaseType_t;
typedef unsigned long UBaseType_t;
typedef uint32_t TickType_t;
typedef uint16_t configSTACK_DEPTH_TYPE;

#define pdFALSE ((BaseType_t)0)
#define pdTRUE ((BaseType_t)1)
#define pdPASS (pdTRUE)
#define portMAX_DELAY ((TickType_t)0xffffffffUL)
#define portYIELD_FROM_ISR(higher) ((void)(higher))
#define configASSERT(x) /* a project may leave it out */

#endif
