/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * epoch.c - the boot id without a random generator.
 */
#include "epoch.h"

#include "clock.h"
#include "lm3s6965.h"

#define KEPT_MAGIC 0x45504f43u
#define SAMPLES 64

/* Not cleared at the start. The copy tells a kept number from the noise of
 * power-up. */
static struct {
	uint32_t magic;
	uint32_t epoch;
	uint32_t inverted;
} kept __attribute__((section(".noinit")));

/* Of the linker script: what lies between was never written to. */
extern const uint8_t ram_end[], stack_bottom[];

/* FNV-1a: mixes well enough what is not a secret. */
static uint32_t mix(uint32_t hash, uint32_t word)
{
	int byte;

	for (byte = 0; byte < 4; byte++, word >>= 8)
		hash = (hash ^ (word & 0xff)) * 16777619u;
	return hash;
}

/* Cells of SRAM fall to either side at power-up; on the real chip this is the
 * source. An emulator clears them. */
static uint32_t sram_noise(uint32_t hash)
{
	const volatile uint32_t *word = (const volatile uint32_t *)(uintptr_t)ram_end;

	while (word < (const volatile uint32_t *)(uintptr_t)stack_bottom)
		hash = mix(hash, *word++);
	return hash;
}

/* Under an emulator the clock is the host's, which never runs twice the same. On
 * the chip clock and program have one oscillator, and this adds little. */
static uint32_t clock_jitter(uint32_t hash)
{
	int n;

	for (n = 0; n < SAMPLES; n++)
		hash = mix(hash, clock_cycles());
	return hash;
}

static uint32_t first_epoch(void)
{
	return clock_jitter(sram_noise(2166136261u));
}

uint32_t epoch_choose(void)
{
	uint32_t epoch;

	if (kept.magic == KEPT_MAGIC && kept.inverted == ~kept.epoch)
		epoch = kept.epoch + 1;
	else
		epoch = first_epoch();
	if (!epoch) /* 0 says "no epoch" */
		epoch = 1;
	kept.magic = KEPT_MAGIC;
	kept.epoch = epoch;
	kept.inverted = ~epoch;
	return epoch;
}
