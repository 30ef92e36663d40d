/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * traced.h - a process that can be stopped anywhere in its work: what it leaves there is what
 * a kill would leave.
 */
#ifndef TRACED_H
#define TRACED_H

#include <signal.h>
#include <stdbool.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child that is about to do the work. */
static inline pid_t traced(void (*work)(void))
{
	pid_t child = fork();

	if (!child) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		work();
		_exit(0);
	}
	waitpid(child, NULL, WUNTRACED);
	return child;
}

static inline void traced_kill(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* Let it do more: PTRACE_SINGLESTEP is one instruction, PTRACE_SYSCALL up to the beginning or
 * the end of a system call. False: it has ended, or cannot be traced (by qemu-user). */
static inline bool traced_goes_on(pid_t child, int how)
{
	int status;

	if (ptrace(how, child, NULL, NULL) != 0) {
		traced_kill(child);
		return false;
	}
	waitpid(child, &status, 0);
	return WIFSTOPPED(status);
}

#endif
