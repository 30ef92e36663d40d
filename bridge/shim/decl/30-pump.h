/* pump/: reports.h, pump.h, link.h, controller.h, request.h */
struct gb_pump;
struct gb_link;
struct gb_controller;
struct gb_request;

enum gb_reason {
	GB_REASON_NONE,
	GB_REASON_TIMEOUT,
	GB_REASON_STATUS,
	GB_REASON_LINK,
	GB_REASON_QUEUE,
	GB_REASON_NOT_OUTPUT,
	GB_REASON_EMPTY,
	GB_REASON_OPERATION,
	GB_REASON_REPLY,
	GB_REASON_RELEASED,
	...
};

enum gb_report_kind {
	GB_REPORT_REPLY,
	GB_REPORT_ANNOUNCED,
	GB_REPORT_LINK_DOWN,
	GB_REPORT_HANGUP,
	GB_REPORT_OPERATION,
	GB_REPORT_LINE_FAULT,
	GB_REPORT_RESTARTED,
	GB_REPORT_NONSENSE,
	GB_REPORT_EXPORT,
	GB_REPORT_LINK_NOTE,
	...
};

struct gb_report {
	uint32_t kind;
	int32_t error;
	uint32_t reason;
	uint32_t number;
	uint64_t id;
	uint32_t sequence;
	uint8_t status;
	uint8_t value;
	uint16_t length;
	uint8_t body[...];
	...;
};

struct gb_pump *gb_pump_new(void);
struct gb_pump *gb_pump_new_realtime(void);
int gb_pump_schedule(struct gb_pump *pump, int priority, const int *cpus, size_t count);
void gb_pump_free(struct gb_pump *pump);
int gb_pump_report_fd(const struct gb_pump *pump);
int gb_pump_next_report(struct gb_pump *pump, struct gb_report *report);

int gb_pump_add_link(struct gb_pump *pump, struct gb_link *link, uint64_t id);
void gb_link_close(struct gb_link *link);
uint64_t gb_link_strays(struct gb_link *link);

struct gb_link_counters {
	uint64_t sent;
	uint64_t received;
	...;
};

void gb_link_count(struct gb_link *link, struct gb_link_counters *counters);

/* pump/trace.h */
struct gb_trace;
struct gb_tap;

#define GB_TRACE_LAST ...
#define GB_TRACE_DATA_MAX ...
#define GB_TRACE_ALL ...

enum gb_trace_kind {
	GB_TRACE_SENT,
	GB_TRACE_RECEIVED,
	GB_TRACE_SENT_AGAIN,
	GB_TRACE_REPEATED,
	GB_TRACE_DAMAGED,
	GB_TRACE_TIMEOUT,
	GB_TRACE_CHANNEL,
	GB_TRACE_CHANNEL_GONE,
	GB_TRACE_UP,
	GB_TRACE_DOWN,
	...
};

struct gb_tap_fds {
	int bell;
	int ring;
	...;
};

struct gb_trace *gb_trace_open(struct gb_pump *pump, uint16_t link);
size_t gb_trace_last(struct gb_trace *trace, void *slots);
struct gb_tap *gb_tap_open(struct gb_pump *pump, uint16_t link, struct gb_tap_fds *fds);
void gb_tap_close(struct gb_tap *tap);
void gb_link_record(struct gb_link *link, struct gb_trace *trace);

struct gb_controller *gb_controller_open(struct gb_link *link, uint64_t id,
					 uint32_t source, uint32_t address);
void gb_controller_close(struct gb_controller *controller);
void gb_controller_accept(struct gb_controller *controller, uint32_t features, uint32_t epoch);
void gb_controller_mute(struct gb_controller *controller, bool mute);

enum gb_call_form { GB_CALL_AUTO, GB_CALL_BASELINE, GB_CALL_EXTENDED, ... };

int gb_controller_call(struct gb_controller *controller, uint16_t type, uint16_t gpio,
		       uint32_t value, int form, uint32_t timeout_ms, uint64_t cookie);

#define GB_CALL_BODY_MAX ...

int gb_controller_call_body(struct gb_controller *controller, uint16_t type, uint16_t gpio,
			    uint32_t value, const void *body, size_t length,
			    uint32_t timeout_ms, uint64_t cookie);

struct gb_clock_state {
	bool known;
	uint32_t samples;
	int32_t drift_ppb;
	uint64_t bound_ns;
	uint64_t edges_bound_ns;
	uint64_t device_ns;
	uint64_t host_ns;
	uint64_t error_ns;
	uint64_t by_arrival;
	...;
};

void gb_controller_clock(struct gb_controller *controller, struct gb_clock_state *state);

struct gb_controller_counters {
	uint64_t answered;
	uint64_t refused;
	uint64_t timeouts;
	uint64_t p50_ns;
	uint64_t p99_ns;
	...;
};

struct gb_line_counters {
	uint64_t edges;
	uint64_t lost;
	...;
};

void gb_controller_count(struct gb_controller *controller,
			 struct gb_controller_counters *counters);
size_t gb_controller_count_lines(struct gb_controller *controller,
				 struct gb_line_counters *counters, size_t count);

#define GB_LINES_MAX ...

enum gb_line_flags {
	GB_LINE_OUTPUT,
	GB_LINE_ACTIVE_LOW,
	GB_LINE_EDGE_RISING,
	GB_LINE_EDGE_FALLING,
	GB_LINE_REALTIME,
	GB_LINE_SOURCE_CLOCK,
	GB_LINE_OPEN_DRAIN,
	GB_LINE_OPEN_SOURCE,
	...
};

struct gb_line_plan {
	struct gb_controller *controller;
	uint32_t offset;
	uint16_t gpio;
	uint8_t irq_type;
	uint32_t flags;
	uint32_t debounce_us;
	...;
};

struct gb_request_fds {
	int operation;
	int event;
	int ring;
	...;
};

struct gb_request *gb_request_open(struct gb_pump *pump, uint64_t id,
				   const struct gb_line_plan *lines, size_t count,
				   uint32_t event_capacity, uint32_t timeout_ms,
				   struct gb_request_fds *fds);
int gb_request_replan(struct gb_request *request, const struct gb_line_plan *lines, size_t count);
void gb_request_settle(struct gb_request *request, uint32_t index, bool high);
void gb_request_note_driven(struct gb_request *request, uint32_t index, bool high);
struct gb_request_counters {
	uint64_t operations;
	uint64_t failed;
	uint64_t p50_ns;
	uint64_t p99_ns;
	uint64_t edges;
	uint64_t overwritten;
	...;
};

void gb_request_count(struct gb_request *request, struct gb_request_counters *counters);
uint64_t gb_request_driven(struct gb_request *request, uint64_t *levels);
int gb_request_answer(struct gb_request *request, uint32_t sequence, int32_t error,
		      uint32_t reason, const void *body, size_t length);
bool gb_request_alive(const struct gb_request *request);
void gb_request_close(struct gb_request *request);

/* pump/vhost_user_link.h */
struct gb_link *gb_vhost_user_connect(const char *path, int timeout_ms, char *why, size_t why_size);
