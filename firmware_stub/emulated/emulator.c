/* SPDX-License-Identifier: BSD-3-Clause */
#include "emulator.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where sifive_u puts its device tree: at such a boundary, the last that leaves room. */
#define TREE_ALIGN UINT64_C(0x200000)

static const struct emulator_machine machines[] = {
	{"sifive_u", "qemu-system-riscv64", ",msel=6", "qemu-system-riscv or qemu-system-misc",
	 0x80000000, 0, true, false},
	{"mps2-an385", "qemu-system-arm", "", "qemu-system-arm", 0x21000000, 16 << 20, false,
	 false},
	{"mps3-an536", "qemu-system-arm", "", "qemu-system-arm", 0x20000000, 0, false, true},
};

const struct emulator_machine *emulator_find(const char *name)
{
	for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++)
		if (!strcmp(machines[i].name, name))
			return &machines[i];
	return NULL;
}

uint64_t emulator_make_room(const struct emulator_machine *machine, int fd, uint64_t used)
{
	uint64_t room = (used + TREE_ALIGN - 1) / TREE_ALIGN * TREE_ALIGN;
	struct stat st;

	if (machine->tree)
		room += TREE_ALIGN;
	if (fstat(fd, &st) < 0 ||
	    ((uint64_t)st.st_size < room && ftruncate(fd, (off_t)room) < 0))
		return 0;
	return room;
}

static void keep_open(int fd)
{
	(void)fcntl(fd, F_SETFD, 0);
}

static void log_to(const char *directory)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/qemu.log", directory);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd >= 0) {
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
	}
}

static void run(const struct emulator_machine *machine, const struct emulator_files *files,
		const struct emulator_window *window, int mailbox)
{
	char object[256], board[128], chardev[64], console[4096], qtest[4096], qmp[4096];

	snprintf(object, sizeof(object),
		 "memory-backend-file,id=ram,mem-path=/proc/self/fd/%d,offset=%llu,size=%llu,share=on",
		 window->fd, (unsigned long long)window->offset, (unsigned long long)window->size);
	snprintf(board, sizeof(board), "%s,memory-backend=ram%s", machine->name, machine->options);
	snprintf(chardev, sizeof(chardev), "socket,id=mailbox,fd=%d", mailbox);
	snprintf(console, sizeof(console), "file:%s/console", files->directory);
	snprintf(qtest, sizeof(qtest), "unix:%s/qtest,server=on,wait=off", files->directory);
	snprintf(qmp, sizeof(qmp), "unix:%s/qmp,server=on,wait=off", files->directory);
	log_to(files->directory);
	keep_open(window->fd);
	keep_open(mailbox);
	execlp(machine->program, machine->program, "-nodefaults", "-display", "none",
	       "-object", object, "-M", board, "-bios", "none", "-kernel", files->firmware,
	       "-chardev", chardev, "-qtest", qtest, "-qtest-log", "none", "-qmp", qmp,
	       "-serial", console, "-serial", machine->third_uart ? "null" : "chardev:mailbox",
	       machine->third_uart ? "-serial" : NULL, "chardev:mailbox", (char *)NULL);
	fprintf(stderr, "%s: %s; Debian has it in the package %s\n", machine->program,
		strerror(errno), machine->package);
	_exit(127);
}

int emulator_start(struct emulator *emulator, const struct emulator_machine *machine,
		   const struct emulator_files *files, const struct emulator_window *window)
{
	pid_t parent = getpid();
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	emulator->pid = fork();
	if (emulator->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(127);
		run(machine, files, window, ends[1]);
	}
	close(ends[1]);
	if (emulator->pid < 0) {
		emulator->pid = 0;
		close(ends[0]);
		return -EAGAIN;
	}
	emulator->mailbox = ends[0];
	(void)fcntl(emulator->mailbox, F_SETFL, O_NONBLOCK);
	emulator->pidfd = (int)syscall(SYS_pidfd_open, emulator->pid, 0);
	if (emulator->pidfd < 0) {
		int error = errno;

		emulator_stop(emulator);
		return -error;
	}
	return 0;
}

void emulator_stop(struct emulator *emulator)
{
	if (!emulator->pid)
		return;
	kill(emulator->pid, SIGKILL);
	waitpid(emulator->pid, NULL, 0);
	close(emulator->mailbox);
	if (emulator->pidfd >= 0)
		close(emulator->pidfd);
	*emulator = (struct emulator){.pidfd = -1, .mailbox = -1};
}

bool emulator_send(struct emulator *emulator, const void *bytes, size_t length)
{
	return send(emulator->mailbox, bytes, length, MSG_NOSIGNAL) == (ssize_t)length;
}
