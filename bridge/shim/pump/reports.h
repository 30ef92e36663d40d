/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reports.h - what Python must know comes as reports, in order, behind one eventfd.
 */
#ifndef GB_REPORTS_H
#define GB_REPORTS_H

#include <stdint.h>

/* Why something failed, beside the errno; bridge.errors has the sentences. */
enum gb_reason {
	GB_REASON_NONE,
	GB_REASON_TIMEOUT,      /* ETIMEDOUT: the firmware did not answer */
	GB_REASON_STATUS,       /* EIO: the firmware answered ERR */
	GB_REASON_LINK,         /* ENODEV: the link is down */
	GB_REASON_QUEUE,        /* EBUSY: too many requests wait */
	GB_REASON_NOT_OUTPUT,   /* EPERM: value to a line that is no output */
	GB_REASON_EMPTY,        /* EINVAL: no line selected */
	GB_REASON_OPERATION,    /* EINVAL: malformed operation */
	GB_REASON_REPLY,        /* EPROTO: a reply that makes no sense */
	GB_REASON_RELEASED,     /* ENODEV: the request was released */
};

enum gb_report_kind {
	GB_REPORT_REPLY,      /* cookie of a call; error, reason, status, value, body;
	                         number = bytes of the reply's head (3, 4 or 8) */
	GB_REPORT_ANNOUNCED,  /* id of a link; value 1 created / 0 destroyed;
	                         number = address; body = channel name */
	GB_REPORT_LINK_DOWN,  /* id of a link; error; body = why */
	GB_REPORT_HANGUP,     /* id of a request: the client closed its descriptor */
	GB_REPORT_OPERATION,  /* id of a request; number = operation code,
	                         cookie2 = sequence; body = payload */
	GB_REPORT_LINE_FAULT, /* id of a request; number = line index; a line
	                         could not be re-armed, error and reason */
	GB_REPORT_RESTARTED,  /* id of a controller: its replies show that the
	                         firmware lost the session (EPOCH, TAG) */
	GB_REPORT_NONSENSE,   /* id of a controller: its answers to the type `number` make no
	                         sense; it is asked ever more seldom */
	GB_REPORT_EXPORT,     /* id of an export: see gb_export_status() */
	GB_REPORT_LINK_NOTE,  /* id of a link; body = what its log should say */
};

/* A struct gpio_v2_line_request has 592. */
#define GB_REPORT_BODY_MAX 640

struct gb_report {
	uint32_t kind;
	int32_t error; /* errno, 0 when all is well */
	uint32_t reason;
	uint32_t number;
	uint64_t id; /* or cookie */
	uint32_t sequence;
	uint8_t status;
	uint8_t value;
	uint16_t length;
	uint8_t body[GB_REPORT_BODY_MAX];
};

/* ---- their queue ---------------------------------------------------------- */

struct gb_report_node {
	struct gb_report_node *next;
	uint32_t *unread;
	struct gb_report report;
};

struct gb_reports {
	int fd; /* readable while reports wait */
	struct gb_report_node *first, *last;
};

/* 0 or -errno. */
int gb_reports_init(struct gb_reports *reports);
void gb_reports_free(struct gb_reports *reports);
/* The next three are used with the pump's lock held. NULL when memory is exhausted.
 * `unread`, if any, is one more until the report has been taken. */
struct gb_report *gb_reports_add(struct gb_reports *reports, uint32_t kind, uint64_t id,
				 uint32_t *unread);
/* Forget a counter that ends before its reports have been taken. */
void gb_reports_forget(struct gb_reports *reports, const uint32_t *unread);
/* The oldest, which is the caller's to free; NULL when there is none (and the descriptor
 * is cleared). */
struct gb_report_node *gb_reports_take(struct gb_reports *reports);

void gb_report_text(struct gb_report *report, const char *text);

#endif
