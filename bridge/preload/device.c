/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the program has open: descriptors of docs/cdev.md, and a channel to each.
 *
 * A descriptor is known by the cookie that the kernel gives its socket, which no other socket
 * ever has: so dup(2) and closing by system calls that we never see do no harm. A forked child
 * has its own table and makes its own channels; one of vfork(2), which shares our memory, leaves
 * everything alone.
 */
#define _GNU_SOURCE
#include "preload.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/gpio.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SO_COOKIE
#define SO_COOKIE 57
#endif

/* Of docs/cdev.md. */
#define OFFER_MAGIC 0x4f495047u
#define OFFER_SIZE 17u
#define ARGUMENT_MAX 592u
#define CLOSED 0u
/* The service answers within the deadlines of its firmware, or hangs up. */
#define PATIENCE_S 120
#define ATTEMPTS_MAX 8
/* Answers to questions that were given up, before the one that is waited for. */
#define LATE_MAX 64
/* A number that programs which close everything from 3 on leave alone. */
#define CHANNEL_FROM 200
#define DEVICES_MAX 256
#define FDS_MAX 4096

struct device {
	uint64_t cookie; /* 0: free */
	uint64_t channel_cookie;
	const struct preload_chip *chip; /* NULL: lines */
	struct gpiochip_info info;       /* of a chip; lines 0: to be asked for */
	uint32_t record_size;
	uint32_t sequence;
	int channel; /* -1: none yet */
	atomic_flag busy;
};

/* Its first `used` have been in use; a program that opens no chip touches none of them. */
static struct device devices[DEVICES_MAX];
static atomic_size_t used;
static atomic_flag table = ATOMIC_FLAG_INIT;
static pid_t owner;
/* By number, which may be wrong: asked before the kernel is. */
static _Atomic unsigned char maybe[FDS_MAX];

/* ---- the libc's, which other files of this library stand before ------------------ */

static int real_close(int fd)
{
	return (int)syscall(SYS_close, fd);
}

static bool cookie_of(int fd, uint64_t *cookie)
{
	socklen_t size = sizeof(*cookie);
	int error = errno;
	bool found = !getsockopt(fd, SOL_SOCKET, SO_COOKIE, cookie, &size);

	errno = error;
	return found;
}

/* ---- the table --------------------------------------------------------------- */

static void drop_channel(struct device *device)
{
	uint64_t cookie;

	if (device->channel >= 0 && cookie_of(device->channel, &cookie) &&
	    cookie == device->channel_cookie)
		real_close(device->channel);
	device->channel = -1;
}

static void forget_channels(void)
{
	for (size_t i = 0; i < used; i++) {
		drop_channel(&devices[i]);
		atomic_flag_clear(&devices[i].busy);
	}
	atomic_flag_clear(&table);
	owner = getpid();
}

/* Of glibc, and of musl. */
extern int __register_atfork(void (*)(void), void (*)(void), void (*)(void), void *)
	__attribute__((weak));
extern int pthread_atfork(void (*)(void), void (*)(void), void (*)(void)) __attribute__((weak));

__attribute__((constructor)) static void begin(void)
{
	owner = getpid();
	if (__register_atfork)
		__register_atfork(NULL, NULL, forget_channels, NULL);
	else if (pthread_atfork)
		pthread_atfork(NULL, NULL, forget_channels);
}

/* False in a child of vfork(2). */
static bool is_our_memory(void)
{
	return getpid() == owner;
}

static void lock_table(void)
{
	while (atomic_flag_test_and_set_explicit(&table, memory_order_acquire))
		;
}

static void unlock_table(void)
{
	atomic_flag_clear_explicit(&table, memory_order_release);
}

static struct device *find(uint64_t cookie)
{
	for (size_t i = 0; i < used; i++)
		if (devices[i].cookie == cookie)
			return &devices[i];
	return NULL;
}

static struct device *find_free(void)
{
	struct device *device = find(0);

	return device || used == DEVICES_MAX ? device : &devices[used++];
}

static struct device *device_of(int fd)
{
	uint64_t cookie;

	return cookie_of(fd, &cookie) && cookie ? find(cookie) : NULL;
}

/* Those that are closed, which nobody told us: the service has hung up their channels. */
static void sweep(void)
{
	for (size_t i = 0; i < used; i++) {
		struct pollfd end = {.fd = devices[i].channel};

		if (devices[i].channel < 0 || poll(&end, 1, 0) <= 0 ||
		    atomic_flag_test_and_set_explicit(&devices[i].busy, memory_order_acquire))
			continue;
		drop_channel(&devices[i]);
		devices[i].cookie = 0;
		atomic_flag_clear_explicit(&devices[i].busy, memory_order_release);
	}
}

/* NULL when there are too many: such a one is served all the same, by a channel an ioctl. */
static struct device *remember(int fd, const struct preload_chip *chip, uint32_t record_size)
{
	struct device *device = NULL;
	uint64_t cookie;

	preload_also_ours(fd, true);
	if (!cookie_of(fd, &cookie))
		return NULL;
	lock_table();
	device = find(cookie);
	if (!device)
		device = find_free();
	if (!device) {
		sweep();
		device = find_free();
	}
	if (device) {
		device->cookie = cookie;
		device->chip = chip;
		device->info.lines = 0;
		device->record_size = record_size;
		device->channel = -1;
	}
	unlock_table();
	return device;
}

const struct preload_chip *preload_chip_of(int fd)
{
	const struct device *device = device_of(fd);

	return device ? device->chip : NULL;
}

bool preload_maybe_ours(int fd)
{
	return fd >= 0 && fd < FDS_MAX && atomic_load_explicit(&maybe[fd], memory_order_relaxed);
}

void preload_also_ours(int fd, bool ours)
{
	if (fd >= 0 && fd < FDS_MAX)
		atomic_store_explicit(&maybe[fd], ours, memory_order_relaxed);
}

bool preload_is_ours(int fd, uint32_t *record_size, const struct preload_chip **chip)
{
	const struct device *device = preload_maybe_ours(fd) ? device_of(fd) : NULL;

	if (!device)
		return false;
	*record_size = device->record_size;
	*chip = device->chip;
	return true;
}

/* ---- channels ---------------------------------------------------------------- */

static ssize_t send_with(int to, const void *data, size_t size, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec part = {(void *)data, size};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	memset(&control, 0, sizeof(control));
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(head), &fd, sizeof(fd));
	return sendmsg(to, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Bytes of the packet, 0 at the end, -1 with errno. `fd`: the descriptor that came, or -1. */
static ssize_t receive_with(int from, struct iovec *parts, size_t count, int *fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	/* Not CMSG_SPACE(), whose padding has room for a second one: the kernel closes those. */
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = count, .msg_control = &control,
				 .msg_controllen = CMSG_LEN(sizeof(int))};
	struct cmsghdr *head;
	ssize_t got;

	*fd = -1;
	do {
		got = recvmsg(from, &message, MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	head = got >= 0 ? CMSG_FIRSTHDR(&message) : NULL;
	if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(head), sizeof(*fd));
	return got;
}

static void be_patient(int fd)
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

/* A channel to what stands behind a descriptor, -1 with errno. */
static int make_channel(int fd)
{
	struct {
		uint32_t magic, version, form, reserved;
		uint8_t tail;
	} offer = {.magic = OFFER_MAGIC, .version = 1};
	int ends[2], high;

	offer.form = sizeof(struct gpioevent_data) == 12;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -1;
	if (send_with(fd, &offer, OFFER_SIZE, ends[1]) != OFFER_SIZE) {
		real_close(ends[0]);
		real_close(ends[1]);
		errno = ENODEV;
		return -1;
	}
	real_close(ends[1]);
	be_patient(ends[0]);
	high = fcntl(ends[0], F_DUPFD_CLOEXEC, CHANNEL_FROM);
	if (high < 0)
		return ends[0];
	real_close(ends[0]);
	return high;
}

/* What came with an answer that nobody takes. */
static void refuse(int *made)
{
	if (*made >= 0)
		real_close(*made);
	*made = -1;
}

enum outcome { ANSWERED, HUNG_UP };

/* One question on a channel. The errno is that of the ioctl; `argument` gets the answer. */
static enum outcome ask(int channel, uint32_t sequence, uint32_t command, void *argument,
			size_t size, int *error, int *made)
{
	uint32_t head[2] = {command, sequence};
	struct {
		int32_t error;
		uint32_t sequence;
	} answer;
	uint8_t back[ARGUMENT_MAX];
	struct iovec question[2] = {{head, sizeof(head)}, {argument, size}};
	struct iovec parts[2] = {{&answer, sizeof(answer)}, {back, sizeof(back)}};
	struct msghdr message = {.msg_iov = question, .msg_iovlen = 2};
	ssize_t got;
	int late = 0;

	if (sendmsg(channel, &message, MSG_NOSIGNAL) < 0)
		return HUNG_UP;
	for (;;) {
		got = receive_with(channel, parts, 2, made);
		if (got < 0 && errno == EAGAIN) {
			*error = ETIMEDOUT;
			return ANSWERED;
		}
		if (got >= (ssize_t)sizeof(answer) && answer.sequence == sequence)
			break;
		refuse(made);
		if (got < (ssize_t)sizeof(answer) || ++late > LATE_MAX)
			return HUNG_UP;
	}
	*error = answer.error;
	if (answer.error)
		refuse(made);
	else if (size && got == (ssize_t)(sizeof(answer) + size))
		memcpy(argument, back, size);
	return ANSWERED;
}

/* Its channel, as it was made, or a new one. */
static int channel_of(struct device *device, int fd)
{
	uint64_t cookie;

	if (device->channel >= 0 && (!cookie_of(device->channel, &cookie) ||
				     cookie != device->channel_cookie))
		device->channel = -1; /* the program closed it: the number is another's */
	if (device->channel < 0) {
		device->channel = make_channel(fd);
		if (device->channel >= 0)
			cookie_of(device->channel, &device->channel_cookie);
	}
	return device->channel;
}

static bool is_over(int fd)
{
	struct pollfd end = {.fd = fd, .events = 0};

	return poll(&end, 1, 0) > 0;
}

/* 0 or the errno. Of a channel that was hung up the question is asked again on a new one,
 * unless the chip is gone. */
static int ask_device(struct device *device, int fd, uint32_t command, void *argument,
		      size_t size, int *made)
{
	for (int i = 0; i < ATTEMPTS_MAX; i++) {
		int channel = channel_of(device, fd), error;

		if (channel < 0)
			return is_over(fd) ? ENODEV : errno;
		if (ask(channel, ++device->sequence, command, argument, size, &error, made) ==
		    ANSWERED)
			return error;
		drop_channel(device);
		if (is_over(fd))
			break;
	}
	return ENODEV;
}

/* With a channel for this question alone: another thread has that of the descriptor, or we
 * interrupted it, or there is no place in the table. */
static int ask_once(int fd, uint32_t command, void *argument, size_t size, int *made)
{
	struct device alone = {.channel = -1};
	int error = ask_device(&alone, fd, command, argument, size, made);

	drop_channel(&alone);
	return error;
}

/* ---- control socket ------------------------------------------------------------ */

/* MessagePack of {"seq": 1, "op": "hello", "version": 1, "client": "gpio-bridge run"}. */
static const char hello[] = "\x84\xa3seq\x01\xa2op\xa5hello\xa7version\x01\xa6"
			    "client\xafgpio-bridge run";

/* {"seq": 2, "op": "cdev", "chip": NAME}, and its size. */
static size_t write_open(char *packet, const char *name)
{
	static const char head[] = "\x83\xa3seq\x02\xa2op\xa4" "cdev\xa4" "chip\xd9";
	size_t length = strlen(name);

	memcpy(packet, head, sizeof(head) - 1);
	packet[sizeof(head) - 1] = (char)length;
	memcpy(packet + sizeof(head), name, length);
	return sizeof(head) + length;
}

/* What an answer of `length` bytes has behind a key, if it is of `size` at least; else NULL. */
static const uint8_t *value_in(const uint8_t *answer, size_t length, const char *key, size_t size)
{
	size_t skip = strlen(key);

	for (size_t at = 0; at + skip + size <= length; at++)
		if (!memcmp(answer + at, key, skip))
			return answer + at + skip;
	return NULL;
}

static int errno_in(const uint8_t *answer, size_t length)
{
	const uint8_t *value = value_in(answer, length, "\xa5" "errno", 2);

	if (!value)
		return EPROTO;
	return *value < 0x80 ? *value : value[0] == 0xcc ? value[1] : EIO;
}

/* The answer to an open has it before all that firmware may have written. */
static void take_info(const uint8_t *answer, size_t length, struct gpiochip_info *info)
{
	const uint8_t *value = value_in(answer, length, "\xa9" "chip_info\xc4\x44", sizeof(*info));

	if (value)
		memcpy(info, value, sizeof(*info));
}

static int connect_to_service(void)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	strcpy(name.sun_path, preload_service());
	be_patient(fd);
	if (!connect(fd, (struct sockaddr *)&name, sizeof(name)))
		return fd;
	if (errno == EAGAIN)
		errno = ETIMEDOUT;
	else if (errno != EACCES)
		errno = ENODEV; /* nobody serves the chip */
	real_close(fd);
	return -1;
}

static int open_on(int connection, const struct preload_chip *chip, struct gpiochip_info *info)
{
	char packet[NAME_SIZE + 64];
	uint8_t answer[4096];
	struct iovec part = {answer, sizeof(answer)};
	size_t size = write_open(packet, chip->name);
	int fd = -1;

	if (send(connection, hello, sizeof(hello) - 1, MSG_NOSIGNAL) < 0 ||
	    send(connection, packet, size, MSG_NOSIGNAL) < 0)
		return -1;
	for (int i = 0; i < 2 && fd < 0; i++) {
		ssize_t got = receive_with(connection, &part, 1, &fd);

		if (got <= 0) {
			errno = got ? ETIMEDOUT : ENODEV;
			return -1;
		}
		errno = errno_in(answer, (size_t)got);
		if (fd < 0 && errno != EPROTO)
			return -1;
		take_info(answer, (size_t)got, info);
	}
	return fd;
}

static void name_chip(struct gpiochip_info *info)
{
	const struct preload_chip *chip =
		preload_chip_named(info->name, strnlen(info->name, sizeof(info->name)));

	if (!chip)
		return;
	memset(info->name, 0, sizeof(info->name));
	memcpy(info->name, chip->device, strlen(chip->device));
}

int preload_open(const struct preload_chip *chip, int flags)
{
	struct gpiochip_info info = {.lines = 0};
	struct device *device;
	int connection = connect_to_service(), fd, error;

	if (connection < 0)
		return -1;
	fd = open_on(connection, chip, &info);
	error = errno;
	real_close(connection);
	errno = error;
	if (fd < 0)
		return -1;
	if (!(flags & O_CLOEXEC))
		fcntl(fd, F_SETFD, 0);
	if (flags & O_NONBLOCK)
		fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
	device = remember(fd, chip, sizeof(struct gpio_v2_line_info_changed));
	name_chip(&info);
	if (device)
		device->info = info;
	return fd;
}

/* ---- ioctls ---------------------------------------------------------------- */

size_t preload_place_of_fd(uint32_t command, uint32_t *record_size)
{
	switch (command) {
	case (uint32_t)GPIO_V2_GET_LINE_IOCTL:
		*record_size = sizeof(struct gpio_v2_line_event);
		return offsetof(struct gpio_v2_line_request, fd);
	case (uint32_t)GPIO_GET_LINEHANDLE_IOCTL:
		*record_size = 0;
		return offsetof(struct gpiohandle_request, fd);
	case (uint32_t)GPIO_GET_LINEEVENT_IOCTL:
		*record_size = sizeof(struct gpioevent_data);
		return offsetof(struct gpioevent_request, fd);
	default:
		return 0;
	}
}

static void note_result(struct device *device, uint32_t command, void *argument, int made)
{
	uint32_t record_size;
	size_t place = preload_place_of_fd(command, &record_size);

	if (place && made >= 0) {
		remember(made, NULL, record_size);
		memcpy((char *)argument + place, &made, sizeof(made));
	} else if (made >= 0) {
		real_close(made);
	}
	if (command == (uint32_t)GPIO_GET_CHIPINFO_IOCTL)
		name_chip(argument);
	if (device && command == (uint32_t)GPIO_GET_LINEINFO_WATCH_IOCTL)
		device->record_size = sizeof(struct gpioline_info_changed);
}

/* A descriptor that came by SCM_RIGHTS or over execve(2) is known by its maker: the service. */
static bool is_of_service(int fd)
{
	struct ucred there, service;
	socklen_t size = sizeof(there);
	int type = 0, connection;
	bool same;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) || type != SOCK_STREAM)
		return false;
	size = sizeof(there);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &there, &size))
		return false;
	connection = connect_to_service();
	if (connection < 0)
		return false;
	size = sizeof(service);
	same = !getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &service, &size) &&
	       there.pid == service.pid && there.uid == service.uid;
	real_close(connection);
	return same;
}

int preload_ioctl(int fd, uint32_t command, void *argument)
{
	size_t size = _IOC_SIZE(command);
	struct device *device = device_of(fd);
	int made = -1, error;

	if (!device && !is_of_service(fd)) {
		errno = ENOTTY;
		return -1;
	}
	if (!argument || size > ARGUMENT_MAX) {
		errno = argument ? EINVAL : EFAULT;
		return -1;
	}
	if (command == (uint32_t)GPIO_GET_CHIPINFO_IOCTL && device && device->info.lines &&
	    !is_over(fd)) {
		memcpy(argument, &device->info, sizeof(device->info));
		return 0;
	}
	if (!device)
		device = remember(fd, NULL, 0);
	if (device && is_our_memory() &&
	    !atomic_flag_test_and_set_explicit(&device->busy, memory_order_acquire)) {
		error = ask_device(device, fd, command, argument, size, &made);
		atomic_flag_clear_explicit(&device->busy, memory_order_release);
	} else {
		error = ask_once(fd, command, argument, size, &made);
	}
	if (error) {
		errno = error;
		return -1;
	}
	note_result(device, command, argument, made);
	return 0;
}

/* ---- close --------------------------------------------------------------------- */

/* In the kernel the lines are free when close(2) returns. A copy that is left keeps them, and
 * is told of at once. */
static void wait_for_release(struct device *device)
{
	int error, made;

	if (ask(device->channel, ++device->sequence, CLOSED, NULL, 0, &error, &made) == ANSWERED) {
		refuse(&made);
		return;
	}
	drop_channel(device);
	device->cookie = 0;
}

int preload_close(int fd, int (*next)(int))
{
	struct device *device = preload_maybe_ours(fd) && is_our_memory() ? device_of(fd) : NULL;
	bool mine, lines;
	int result;

	if (is_our_memory())
		preload_also_ours(fd, false);
	if (!device)
		return next(fd);
	mine = !atomic_flag_test_and_set_explicit(&device->busy, memory_order_acquire);
	lines = mine && !device->chip && channel_of(device, fd) >= 0;
	result = next(fd);
	if (lines)
		wait_for_release(device);
	if (mine && device->chip) {
		drop_channel(device);
		device->cookie = 0; /* a copy that is left is found again */
	}
	if (mine)
		atomic_flag_clear_explicit(&device->busy, memory_order_release);
	return result;
}
