/* recording/changes.h */
#define GB_RECORDED_LINES_MAX ...

struct gb_recorded_line {
	uint32_t offset;
	uint32_t line_seqno;
	uint32_t code;
	...;
};

struct gb_recorded {
	uint32_t first;
	uint32_t count;
	uint64_t latest_ns;
	struct gb_recorded_line lines[...];
	...;
};

struct gb_loss {
	uint64_t since_ns;
	uint32_t signal;
	uint32_t count;
	...;
};

size_t gb_changes_take(struct gb_recorded *recorded, const struct gb_line_event *events,
		       size_t count, uint64_t *times, uint32_t *codes, struct gb_loss *losses,
		       size_t *lost);
bool gb_changes_in_order(const uint64_t *times, size_t count);
void gb_changes_apply(const uint32_t *codes, size_t count, uint8_t *levels, size_t signals);

/* recording/text.h */
struct gb_word {
	const char *text;
	size_t length;
	...;
};

struct gb_changes {
	const uint64_t *times;
	const uint32_t *codes;
	size_t count;
	uint64_t zero_ns;
	...;
};

struct gb_sampler {
	uint64_t rate_hz;
	uint64_t done;
	uint8_t *levels;
	size_t unit;
	...;
};

size_t gb_text_words(const struct gb_changes *changes, const struct gb_word *before,
		     const struct gb_word *words, size_t words_count, char *out, size_t capacity,
		     size_t *used);
size_t gb_text_rows(const struct gb_changes *changes, struct gb_word *levels, char *out,
		    size_t capacity, size_t *used);
size_t gb_text_samples(const struct gb_changes *changes, struct gb_sampler *sampler, char *out,
		       size_t capacity, size_t *used);
