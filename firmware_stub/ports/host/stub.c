/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "stub.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "board.h"
#include "commands.h"
#include "control.h"
#include "firmware.h"
#include "stub_loop.h"
#include "rpmsg_backend.h"

#define EXIT_USAGE 2

static const char help[] =
	"Usage: firmware-stub --socket PATH|--serial PATH [options] BOARDFILE\n"
	"\n"
	"Run the GPIO firmware on a simulated board. Our service, a User-Mode Linux\n"
	"kernel or QEMU attaches to the socket as to a vhost-user backend with a\n"
	"virtio-rpmsg device (virtio id 7).\n"
	"\n"
	"  --socket PATH     unix socket to listen on (at most 107 bytes)\n"
	"  --serial PATH     speak on this tty; or make PATH a link to a new pty\n"
	"  --serial-baud N   rate of that tty; bytes on the pty take as long as at N bits/s\n"
	"                    (default: no time)\n"
	"  --rpmsg-tty       the socket's guest gets a channel rpmsg-tty with the serial\n"
	"                    framing, in the place of a channel for each controller\n"
	"  --control PATH    unix socket for commands (default: the socket's path, else\n"
	"                    that of --serial, and .ctl)\n"
	"  --dialect NAME    rpmsg-gpio-padded (4-byte messages, default) or rpmsg-gpio\n"
	"                    (4-byte messages, as the posted driver is compiled)\n"
	"  --features LIST   extensions to offer: all (default; without counters), none, or some of\n"
	"                    config,names,tag,epoch,credits,timestamp,bulk,line-config,counters\n"
	"  --strict          refuse what virtio forbids a driver to do\n"
	"  --step            time stands still until the `advance` command moves it\n"
	"  --ready-fd N      write a line to this descriptor when ready, instead of\n"
	"                    `ready PATH` to standard output\n"
	"  --help            this text\n"
	"\n"
	"Example: firmware-stub --socket /tmp/fw.sock demo.board\n";

struct options {
	const char *socket; /* NULL: no vhost-user */
	const char *serial; /* NULL: no serial line */
	uint32_t baud;
	bool rpmsg_tty;
	const char *control;
	const char *board;
	struct firmware_options firmware;
	bool step;
	int ready_fd; /* -1: standard output */
};

struct stub {
	struct loop *loop;
	struct board *board;
	struct commands commands;
	struct firmware *firmware;
	struct control *control;
	int signal_fd;
};

/* ---- options ----------------------------------------------------------------- */

static bool parse_dialect(const char *name, struct options *options)
{
	bool padded = !strcmp(name, "rpmsg-gpio-padded");

	options->firmware.dialect = padded ? RPMSG_GPIO_DIALECT_PADDED
					   : RPMSG_GPIO_DIALECT_DOCUMENTED;
	if (padded || !strcmp(name, "rpmsg-gpio"))
		return true;
	fprintf(stderr, "firmware-stub: no dialect `%s`; give rpmsg-gpio or rpmsg-gpio-padded\n",
		name);
	return false;
}

static const struct { const char *name; uint32_t bit; } known[] = {
	{"config", RPMSG_GPIO_F_CONFIG},
	{"names", RPMSG_GPIO_F_NAMES},
	{"tag", RPMSG_GPIO_F_TAG},
	{"epoch", RPMSG_GPIO_F_EPOCH},
	{"credits", RPMSG_GPIO_F_CREDITS},
	{"timestamp", RPMSG_GPIO_F_TIMESTAMP},
	{"bulk", RPMSG_GPIO_F_BULK},
	{"line-config", RPMSG_GPIO_F_LINE_CONFIG},
	{"counters", RPMSG_GPIO_F_COUNTERS},
};

/* `all` is all but what firmware offers to find a fault. */
static uint32_t all_features(void)
{
	uint32_t features = 0;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		features |= known[i].bit;
	return features & ~RPMSG_GPIO_F_COUNTERS;
}

static bool parse_feature(const char *name, size_t length, uint32_t *features)
{
	if (length == 3 && !strncmp(name, "all", 3)) {
		*features |= all_features();
		return true;
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strlen(known[i].name) == length && !strncmp(name, known[i].name, length)) {
			*features |= known[i].bit;
			return true;
		}
	}
	fprintf(stderr, "firmware-stub: no feature `%.*s`; give all, none or some of",
		(int)length, name);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		fprintf(stderr, "%c%s", i ? ',' : ' ', known[i].name);
	fputc('\n', stderr);
	return false;
}

static bool parse_features(const char *list, struct options *options)
{
	uint32_t *features = &options->firmware.features;

	*features = 0;
	if (!strcmp(list, "none"))
		return true;
	for (;;) {
		size_t length = strcspn(list, ",");

		if (!parse_feature(list, length, features))
			return false;
		if (!list[length])
			return true;
		list += length + 1;
	}
}

static bool parse_fd(const char *text, struct options *options)
{
	char *end;
	long fd = strtol(text, &end, 10);

	options->ready_fd = (int)fd;
	if (*text && !*end && fd >= 0 && fd <= INT_MAX)
		return true;
	fprintf(stderr, "firmware-stub: --ready-fd is `%s`; give the number of a descriptor\n",
		text);
	return false;
}

static bool parse_baud(const char *text, struct options *options)
{
	char *end;
	long baud = strtol(text, &end, 10);

	options->baud = (uint32_t)baud;
	if (*text && !*end && baud > 0 && baud <= (long)SERIAL_PORT_BAUD_MAX)
		return true;
	fprintf(stderr, "firmware-stub: --serial-baud is `%s`; give bits per second, 1 to %u\n",
		text, SERIAL_PORT_BAUD_MAX);
	return false;
}

static bool parse_option(int option, struct options *options)
{
	switch (option) {
	case 's': options->socket = optarg; return true;
	case 'l': options->serial = optarg; return true;
	case 'b': return parse_baud(optarg, options);
	case 'T': options->rpmsg_tty = true; return true;
	case 'c': options->control = optarg; return true;
	case 'd': return parse_dialect(optarg, options);
	case 'f': return parse_features(optarg, options);
	case 'S': options->firmware.strict = true; return true;
	case 't': options->step = true; return true;
	case 'r': return parse_fd(optarg, options);
	default: return false; /* getopt said why */
	}
}

static const char *what_is_wrong(const struct options *options, int files)
{
	if (!options->socket && !options->serial)
		return "no --socket PATH and no --serial PATH";
	if (options->rpmsg_tty && !options->socket)
		return "--rpmsg-tty is a channel on the --socket PATH";
	if (options->rpmsg_tty && options->serial)
		return "--rpmsg-tty and --serial PATH are the same line; give one";
	return files == 1 ? NULL : "give exactly one board file";
}

static void parse(int argc, char **argv, struct options *options)
{
	static const struct option options_known[] = {
		{"socket", required_argument, NULL, 's'},
		{"serial", required_argument, NULL, 'l'},
		{"serial-baud", required_argument, NULL, 'b'},
		{"rpmsg-tty", no_argument, NULL, 'T'},
		{"control", required_argument, NULL, 'c'},
		{"dialect", required_argument, NULL, 'd'},
		{"features", required_argument, NULL, 'f'},
		{"strict", no_argument, NULL, 'S'},
		{"step", no_argument, NULL, 't'},
		{"ready-fd", required_argument, NULL, 'r'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int option;

	*options = (struct options){.ready_fd = -1, .firmware.features = all_features()};
	while ((option = getopt_long(argc, argv, "h", options_known, NULL)) != -1) {
		if (option == 'h') {
			fputs(help, stdout);
			exit(EXIT_SUCCESS);
		}
		if (!parse_option(option, options))
			exit(EXIT_USAGE);
	}
	const char *wrong = what_is_wrong(options, argc - optind);

	if (wrong) {
		fprintf(stderr, "firmware-stub: %s; --help shows how\n", wrong);
		exit(EXIT_USAGE);
	}
	options->board = argv[optind];
}

/* ---- run ----------------------------------------------------------------------- */

static void signalled(void *context, uint32_t events)
{
	(void)events;
	loop_quit(context);
}

static bool catch_signals(struct stub *stub)
{
	struct sigaction hangup;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	/* A terminal that closes must not leave socket files behind; under nohup(1) the stub
	 * stays. */
	sigaction(SIGHUP, NULL, &hangup);
	if (hangup.sa_handler != SIG_IGN)
		sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	stub->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return stub->signal_fd >= 0 &&
	       !loop_add(stub->loop, stub->signal_fd, EPOLLIN, signalled, stub->loop);
}

static bool build(struct stub *stub, const struct options *options, char *why, size_t size)
{
	snprintf(why, size, "no memory");
	stub->loop = loop_new();
	if (!stub->loop)
		return false;
	if (options->step)
		loop_step_mode(stub->loop);
	stub->board = board_new(stub->loop);
	if (!stub->board)
		return false;
	commands_init(&stub->commands, stub->loop, stub->board);
	if (commands_load(&stub->commands, options->board, why, size))
		return false;
	stub->firmware = firmware_new(stub->loop, stub->board, &options->firmware);
	stub->commands.firmware = stub->firmware;
	return stub->firmware;
}

static bool listen_on(struct stub *stub, const struct options *options, char *why, size_t size)
{
	char path[PATH_MAX];

	if (!catch_signals(stub)) {
		snprintf(why, size, "cannot watch signals: %s", strerror(errno));
		return false;
	}
	if (options->socket) {
		stub->firmware->backend =
			rpmsg_backend_open(stub->loop, options->socket, &firmware_backend_ops,
					   stub->firmware, why, size);
		if (!stub->firmware->backend)
			return false;
	}
	if (options->serial &&
	    !firmware_open_serial(stub->firmware, options->serial, options->baud, why, size))
		return false;
	if (options->rpmsg_tty && !firmware_open_tty(stub->firmware, why, size))
		return false;
	snprintf(path, sizeof(path), "%s.ctl", options->socket ? options->socket : options->serial);
	stub->control = control_open(stub->loop, &stub->commands,
				     options->control ? options->control : path, why, size);
	return stub->control;
}

static void say_ready(const struct options *options)
{
	if (options->ready_fd < 0) {
		printf("ready %s\n", options->socket ? options->socket : options->serial);
		fflush(stdout);
		return;
	}
	if (write(options->ready_fd, "\n", 1) != 1)
		fprintf(stderr, "firmware-stub: cannot write to --ready-fd %d: %s\n",
			options->ready_fd, strerror(errno));
	close(options->ready_fd);
}

static void idle(void *context)
{
	struct stub *stub = context;

	firmware_run(stub->firmware);
	control_run(stub->control);
}

static void tear_down(struct stub *stub)
{
	control_close(stub->control);
	if (stub->firmware && stub->firmware->backend)
		rpmsg_backend_close(stub->firmware->backend);
	if (stub->firmware)
		stub->firmware->backend = NULL;
	if (stub->firmware)
		serial_port_close(stub->firmware->serial);
	firmware_free(stub->firmware);
	commands_free(&stub->commands);
	board_free(stub->board);
	loop_free(stub->loop);
	if (stub->signal_fd >= 0)
		close(stub->signal_fd);
}

int stub_main(int argc, char **argv, const struct message_filter *messages,
	      const struct serial_filter *bytes)
{
	struct stub stub = {.signal_fd = -1};
	struct options options;
	char why[1024];
	bool ready;

	parse(argc, argv, &options);
	options.firmware.message_filter = messages;
	options.firmware.serial_filter = bytes;
	ready = build(&stub, &options, why, sizeof(why)) &&
		listen_on(&stub, &options, why, sizeof(why));
	if (ready) {
		say_ready(&options);
		loop_run(stub.loop, idle, &stub);
	} else {
		fprintf(stderr, "firmware-stub: %s\n", why);
	}
	tear_down(&stub);
	return ready ? EXIT_SUCCESS : EXIT_FAILURE;
}
