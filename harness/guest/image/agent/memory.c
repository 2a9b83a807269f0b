/* Memory with known contents, and where in the guest's physical memory it stands. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <termios.h>
#include <unistd.h>

#include "line.h"

#define PAGE 4096
#define CACHE_LINE 64
#define HUGE_PAGE (2u << 20)
#define RUNS_PER_LINE 64
#define MAX_TOKEN 256
#define SHARED_CHUNK 2048
#define SHARED_CHUNKS 64
/* Documentation/admin-guide/mm/pagemap.rst */
#define PAGEMAP_PRESENT (1ULL << 63)
#define PAGEMAP_FRAME ((1ULL << 55) - 1)

/* The pages live on in a child; who called us may go on. */
static void stay(void)
{
	if (fork() != 0)
		exit(0);
	for (;;)
		pause();
}

/* Pages of our own, all present and not to be moved to swap; aligned so that the kernel can make large pages of them. */
static unsigned char *allocate(size_t bytes)
{
	size_t padded = bytes + HUGE_PAGE;
	unsigned char *start = mmap(NULL, padded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (start == MAP_FAILED) {
		line_problem("no memory for %zu KiB: %s", bytes / 1024, strerror(errno));
		exit(1);
	}
	unsigned char *aligned = start + (HUGE_PAGE - (uintptr_t)start % HUGE_PAGE) % HUGE_PAGE;
	madvise(aligned, bytes, MADV_HUGEPAGE);
	return aligned;
}

static void pages_open(const char *access)
{
	line_add("{\"event\":\"canary-pages\",\"access\":\"%s\",\"runs\":[", access);
}

static void pages_close(void)
{
	line_add("]}");
	line_end();
}

/*
 * Writes what the caches hold back to memory, under the key that it was written with: not every processor shows a host,
 * which reads without that key, what is still in a cache (KVM calls it SME_COHERENT).
 */
static void write_back(const unsigned char *start, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += CACHE_LINE)
		__builtin_ia32_clflush(start + i);
	__builtin_ia32_mfence();
}

/* Prints the runs of physical pages behind a range; returns how many bytes they are. */
static size_t report_runs(const unsigned char *start, size_t bytes)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t first = 0, count = 0;
	size_t total = 0;
	int printed = 0;

	for (size_t page = 0; page <= bytes / PAGE; page++) {
		uint64_t entry = 0;
		uint64_t frame = 0;
		off_t at = (off_t)(((uintptr_t)start / PAGE + page) * sizeof entry);

		if (page < bytes / PAGE && pread(fd, &entry, sizeof entry, at) == sizeof entry && (entry & PAGEMAP_PRESENT))
			frame = entry & PAGEMAP_FRAME;
		if (count && frame == first + count) {
			count++;
			continue;
		}
		if (count) {
			if (printed % RUNS_PER_LINE == 0) {
				if (printed)
					pages_close();
				pages_open("private");
			}
			line_add("%s\"0x%llx+0x%llx\"", printed++ % RUNS_PER_LINE ? "," : "",
				 (unsigned long long)first * PAGE, (unsigned long long)count * PAGE);
			total += count * PAGE;
		}
		first = frame;
		count = frame ? 1 : 0;
	}
	if (printed)
		pages_close();
	if (fd >= 0)
		close(fd);
	return total;
}

/* Sends the token through a device; returns how many bytes went. */
static size_t write_through_device(const unsigned char *bytes)
{
	struct termios raw;
	size_t total = 0;
	int fd = open("/dev/hvc0", O_WRONLY | O_NOCTTY);

	if (fd < 0)
		return 0;
	if (tcgetattr(fd, &raw) == 0) {
		cfmakeraw(&raw);
		tcsetattr(fd, TCSANOW, &raw);
	}
	for (int i = 0; i < SHARED_CHUNKS; i++) {
		ssize_t count = write(fd, bytes, SHARED_CHUNK);

		if (count <= 0)
			break;
		total += count;
	}
	tcdrain(fd);
	close(fd);
	return total;
}

/*
 * A device cannot read encrypted memory, so the kernel copies what it shall read into memory that is shared with the host.
 * Where that lies only the kernel log says, and only as a whole; a guest without encryption has no such memory.
 */
static const char *report_shared(const unsigned char *bytes, size_t *total)
{
	static char because[256];
	unsigned long long start, end;
	const char *area = kernel_log_line("software IO TLB: mapped [mem ");

	*total = 0;
	if (area == NULL || sscanf(area, "software IO TLB: mapped [mem 0x%llx-0x%llx]", &start, &end) != 2)
		return "the kernel has no bounce buffers: nothing in this guest is shared with its devices alone";
	*total = write_through_device(bytes);
	if (*total == 0) {
		snprintf(because, sizeof because, "no virtio console to send the canary through: %s", strerror(errno));
		return because;
	}
	pages_open("shared");
	line_add("\"0x%llx+0x%llx\"", start, end - start);
	pages_close();
	return NULL;
}

void keep_canary(const char *token_hex, size_t kib)
{
	unsigned char token[MAX_TOKEN];
	size_t length = strlen(token_hex) / 2;
	size_t bytes = (kib * 1024 + PAGE - 1) / PAGE * PAGE;
	size_t shared;

	for (size_t i = 0; i < length && i < MAX_TOKEN; i++)
		sscanf(token_hex + 2 * i, "%2hhx", &token[i]);
	if (length == 0 || length > MAX_TOKEN || bytes == 0) {
		line_problem("sevh.canary is not 1 to %d bytes, or there is no memory for it", MAX_TOKEN);
		exit(1);
	}
	unsigned char *memory = allocate(bytes);
	/* Each page begins with the token, so that all pages are equal. */
	for (size_t i = 0; i < bytes; i++)
		memory[i] = token[i % PAGE % length];
	mlock(memory, bytes);
	write_back(memory, bytes);
	size_t private = report_runs(memory, bytes);
	const char *because = report_shared(memory, &shared);
	line_add("{\"event\":\"canary\",\"privateBytes\":%zu,\"sharedBytes\":%zu,\"because\":", private, shared);
	line_text(because);
	line_add("}");
	line_end();
	stay();
}

void keep_equal_pages(size_t pages, const char *seed)
{
	uint64_t hash = 0xcbf29ce484222325;
	unsigned char *memory = allocate(pages * PAGE);

	/* The large pages of one guest are of no use to who compares small ones. */
	madvise(memory, pages * PAGE, MADV_NOHUGEPAGE);
	for (const char *c = seed; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 0x100000001b3;
	for (size_t page = 0; page < pages; page++) {
		uint64_t state = hash ^ page;

		/* xorshift64, which must not begin with 0: no page is like another of the same guest. */
		if (state == 0)
			state = hash ^ pages;
		for (size_t i = 0; i < PAGE; i += sizeof state) {
			state ^= state << 13;
			state ^= state >> 7;
			state ^= state << 17;
			memcpy(memory + page * PAGE + i, &state, sizeof state);
		}
	}
	mlock(memory, pages * PAGE);
	line_add("{\"event\":\"equal-pages\",\"pages\":%zu,\"seed\":", pages);
	line_text(seed);
	line_add("}");
	line_end();
	stay();
}
