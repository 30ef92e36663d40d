/* pump/operation.h, pump/client.h */
enum gb_operation_code {
	GB_OPERATION_GET,
	GB_OPERATION_SET,
	GB_OPERATION_RELEASE,
	GB_OPERATION_RECONFIGURE,
	...
};

#define GB_OPERATION_BODY_MAX ...

struct gb_operation {
	uint32_t code;
	uint32_t sequence;
	uint64_t mask;
	uint64_t bits;
	...;
};

struct gb_operation_reply {
	uint32_t sequence;
	int32_t error;
	uint32_t reason;
	uint32_t line;
	uint64_t bits;
	...;
};

int gb_client_prepare(int fd, uint32_t timeout_ms);
int gb_client_operate(int fd, uint32_t timeout_ms, const struct gb_operation *operation,
		      struct gb_operation_reply *reply);
struct gb_exchange {
	struct gb_operation operation;
	struct gb_operation_reply reply;
	...;
};

const struct gb_operation *gb_exchange_next(struct gb_exchange *exchange, uint32_t code,
					    uint64_t mask, uint64_t bits);
int gb_client_exchange(int fd, uint32_t timeout_ms, struct gb_exchange *exchange, uint32_t code,
		       uint64_t mask, uint64_t bits);
int gb_client_operate_body(int fd, uint32_t timeout_ms, const struct gb_operation *operation,
			   const void *body, size_t length, struct gb_operation_reply *reply,
			   void *reply_body, size_t *reply_length);

/* pump/direct.h */
struct gb_direct;

struct gb_direct *gb_direct_open(struct gb_pump *pump, int fd);
int gb_direct_operate(struct gb_direct *direct, uint32_t timeout_ms,
		      const struct gb_operation *operation, struct gb_operation_reply *reply);
int gb_direct_exchange(struct gb_direct *direct, uint32_t timeout_ms, struct gb_exchange *exchange,
		       uint32_t code, uint64_t mask, uint64_t bits);
void gb_direct_close(struct gb_direct *direct);

/* pump/event_ring.h */
struct gb_event_ring;

struct gb_line_event {
	uint64_t timestamp_ns;
	uint32_t id;
	uint32_t offset;
	uint32_t seqno;
	uint32_t line_seqno;
	uint32_t padding[6];
};

#define GB_EVENT_CAPACITY_MAX ...
#define GB_EVENT_READ_MAX ...

struct gb_event_ring *gb_event_ring_map(int memfd);
uint32_t gb_event_ring_capacity(const struct gb_event_ring *ring);
int gb_event_ring_take(struct gb_event_ring *ring, int doorbell,
		       struct gb_line_event *events, size_t count);
int gb_event_ring_read(struct gb_event_ring *ring, int doorbell,
		       struct gb_line_event *events, size_t count);
void gb_event_ring_retire(struct gb_event_ring *ring);
void gb_event_ring_free(struct gb_event_ring *ring);

#define GB_INFO_RECORD_SIZE ...
struct gb_event_ring *gb_info_ring_create(int *memfd);
bool gb_info_ring_push(struct gb_event_ring *ring, const void *record);
struct gb_event_ring *gb_info_ring_map(int memfd);
int gb_info_ring_read(struct gb_event_ring *ring, int doorbell, void *record);

#define GB_TRACE_SLOT_SIZE ...
#define GB_TRACE_CAPACITY ...
struct gb_event_ring *gb_trace_ring_map(int memfd);
int gb_trace_ring_take(struct gb_event_ring *ring, int doorbell, void *slots, size_t count);
uint64_t gb_trace_ring_lost(const struct gb_event_ring *ring);
