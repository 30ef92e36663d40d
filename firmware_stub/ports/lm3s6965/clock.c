/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * clock.c - SysTick counts cycles, timer 0 is the alarm.
 *
 * No periodic tick: SysTick runs its whole 24 bits, which costs three short
 * interrupts a second, and a deadline has its own one-shot.
 */
#include "clock.h"

#include "lm3s6965.h"
#include "startup.h"

/* The PLL is stable within 0.5 ms: 6000 cycles of the 12 MHz it starts from. */
#define PLL_TRIES 20000
/* SysTick loads its counter in the next cycle; in an emulator's next event. */
#define SYSTICK_TRIES 10000000

static volatile uint32_t wraps;

/* Back to the unmultiplied oscillator while the PLL starts (data sheet, 6.3). */
static void start_pll(void)
{
	uint32_t rcc = SYSCTL_RCC;
	int tries;

	rcc = (rcc | RCC_BYPASS) & ~(RCC_USESYSDIV | RCC_MOSCDIS);
	SYSCTL_RCC = rcc;
	rcc &= ~(RCC_XTAL_MASK | RCC_OSCSRC_MASK | RCC_PWRDN | RCC_SYSDIV_MASK);
	rcc |= RCC_XTAL_8MHZ | RCC_SYSDIV_4 | RCC_USESYSDIV;
	SYSCTL_RCC = rcc;
	for (tries = 0; !(SYSCTL_RIS & RIS_PLLL); tries++)
		if (tries == PLL_TRIES)
			system_reset();
	SYSCTL_RCC = rcc & ~RCC_BYPASS;
}

/* Until SysTick counts, it has no jitter to draw from. */
static void start_systick(void)
{
	int tries;

	SYST_RVR = SYST_MAX;
	SYST_CVR = 0;
	SYST_CSR = SYST_CSR_CLKSOURCE | SYST_CSR_TICKINT | SYST_CSR_ENABLE;
	for (tries = 0; !SYST_CVR && tries < SYSTICK_TRIES; tries++)
		;
}

void clock_init(void)
{
	start_pll();
	SYSCTL_RCGC1 |= RCGC1_UART0 | RCGC1_TIMER0;
	SYSCTL_RCGC2 |= RCGC2_GPIO_ALL;
	/* A peripheral may be touched three cycles after its clock is on. */
	(void)SYSCTL_RCGC2;
	(void)SYSCTL_RCGC2;

	start_systick();
	TIMER0_CTL = 0;
	TIMER0_CFG = 0; /* one timer of 32 bits */
	TIMER0_TAMR = TAMR_ONE_SHOT;
	TIMER0_IMR = INT_TATO;
	irq_enable(IRQ_TIMER0A);
}

void systick_handler(void)
{
	wraps++;
}

uint32_t clock_cycles(void)
{
	return SYST_MAX - SYST_CVR;
}

/* The wrap that is not counted yet is pending; the counter is read after it. */
uint64_t clock_ns(void)
{
	uint32_t primask = irq_save();
	uint32_t low = clock_cycles();
	uint32_t high = wraps;

	if (SCB_ICSR & ICSR_PENDSTSET) {
		low = clock_cycles();
		high++;
	}
	irq_restore(primask);
	return ((uint64_t)high * (SYST_MAX + 1u) + low) * NS_PER_CYCLE;
}

void timer0a_handler(void)
{
	TIMER0_ICR = INT_TATO;
	wake_main();
}

void clock_wake_never(void)
{
	TIMER0_CTL = 0;
}

void clock_wake_at(uint64_t ns)
{
	uint64_t now = clock_ns();
	uint64_t cycles = ns > now ? (ns - now) / NS_PER_CYCLE : 0;

	if (cycles > UINT32_MAX)
		cycles = UINT32_MAX;
	TIMER0_CTL = 0;
	TIMER0_TAILR = cycles ? (uint32_t)cycles : 1u;
	TIMER0_CTL = CTL_TAEN;
}
