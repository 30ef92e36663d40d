/* SPDX-License-Identifier: BSD-3-Clause */
/* task.h - a stand-in for FreeRTOS. */
#ifndef STAND_IN_TASK_H
#define STAND_IN_TASK_H

#include "FreeRTOS.h"

typedef struct tskTaskControlBlock *TaskHandle_t;
typedef void (*TaskFunction_t)(void *arg);

#define tskIDLE_PRIORITY ((UBaseType_t)0U)

void vPortEnterCritical(void);
void vPortExitCritical(void);
#define taskENTER_CRITICAL() vPortEnterCritical()
#define taskEXIT_CRITICAL() vPortExitCritical()

BaseType_t xTaskCreate(TaskFunction_t code, const char *const name,
		       const configSTACK_DEPTH_TYPE depth, void *const arg, UBaseType_t priority,
		       TaskHandle_t *const created);
void vTaskStartScheduler(void);
TaskHandle_t xTaskGetCurrentTaskHandle(void);

/* Macros in FreeRTOS, of these arguments. */
void vTaskNotifyGiveFromISR(TaskHandle_t task, BaseType_t *higher_woken);
uint32_t ulTaskNotifyTake(BaseType_t clear, TickType_t ticks);

#endif
