/* Workloads, each measured so many times: memory bandwidth, memory latency, reading a virtio disk. */
#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "line.h"

#define MIB (1u << 20)
/*
 * Memory is encrypted on its way into and out of DRAM: what stays in a cache says nothing. The third level of an EPYC has
 * 8 to 96 MiB for a core.
 */
#define COPY_BYTES (64 * MIB)
#define COPIES 8
/* Apart by no power of two: a TLB that is looked up by the low bits of the page, as QEMU's own, has room for both. */
#define COPY_SHIFT (33 * 4096)
#define CHASE_BYTES (128 * MIB)
#define CACHE_LINE 64
#define CHASE_STEPS 400000
#define DISK_BLOCK MIB
#define DISK_BYTES (64 * MIB)
#define MAX_ROUNDS 100
#define SPARE_BYTES (8 * MIB)
#define DISK_WAIT_MS 5000

struct workload {
	const char *name;
	const char *unit;
	/* Takes one sample, or says why it cannot. */
	const char *(*measure)(double *sample);
};

static long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* The kernel promises memory that it does not have, and kills who takes it. */
static bool has_memory(size_t bytes)
{
	unsigned long long available_kib = 0;
	char line[128];
	FILE *info = fopen("/proc/meminfo", "r");

	while (info && fgets(line, sizeof line, info)) {
		if (sscanf(line, "MemAvailable: %llu kB", &available_kib) == 1)
			break;
	}
	if (info)
		fclose(info);
	return available_kib * 1024 > bytes + SPARE_BYTES;
}

static unsigned char *pages(size_t bytes)
{
	if (!has_memory(bytes))
		return NULL;
	void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (start == MAP_FAILED)
		return NULL;
	/* Whether the kernel finds huge pages is luck, and makes a guest faster or slower for its whole life. */
	madvise(start, bytes, MADV_NOHUGEPAGE);
	return start;
}

static unsigned char *buffer(size_t bytes)
{
	unsigned char *start = pages(bytes);

	if (start != NULL)
		memset(start, 1, bytes);
	return start;
}

static const char *measure_bandwidth(double *sample)
{
	static unsigned char *from, *to;

	if (from == NULL) {
		from = buffer(2 * COPY_BYTES + COPY_SHIFT);
		if (from == NULL)
			return "the guest has too little memory available: two buffers of 64 MiB each";
		to = from + COPY_BYTES + COPY_SHIFT;
	}
	long long start = now_ns();
	for (int i = 0; i < COPIES; i++) {
		memcpy(to, from, COPY_BYTES);
		/* The compiler must not see that nobody reads the copy. */
		__asm__ volatile("" : : "r"(to) : "memory");
	}
	*sample = (double)COPIES * COPY_BYTES / MIB / ((now_ns() - start) / 1e9);
	return NULL;
}

/*
 * One cycle through all cache lines, in an order that no prefetcher knows: a linear congruential generator visits each of
 * 2^n numbers once when its increment is odd and its factor is 1 more than a multiple of 4 (Hull and Dobell).
 */
static void **chain(void)
{
	unsigned char *memory = pages(CHASE_BYTES);
	const uint32_t count = CHASE_BYTES / CACHE_LINE;

	if (memory == NULL)
		return NULL;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t next = (i * 1664525u + 1013904223u) % count;

		*(void **)(memory + (size_t)i * CACHE_LINE) = memory + (size_t)next * CACHE_LINE;
	}
	return (void **)memory;
}

static const char *measure_latency(double *sample)
{
	static void **at;

	if (at == NULL && (at = chain()) == NULL)
		return "the guest has too little memory available: a chain of 128 MiB";
	long long start = now_ns();
	for (int i = 0; i < CHASE_STEPS; i++)
		at = *at;
	__asm__ volatile("" : : "r"(at) : "memory");
	*sample = (double)(now_ns() - start) / CHASE_STEPS;
	return NULL;
}

/* The kernel looks for disks in the background. */
static int open_disk(void)
{
	static const char *const names[] = { "/dev/sda", "/dev/vda" };

	for (int waited = 0; waited < DISK_WAIT_MS; waited += 50) {
		for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
			int fd = open(names[i], O_RDONLY | O_DIRECT);

			if (fd >= 0 || errno != ENOENT)
				return fd;
		}
		usleep(50 * 1000);
	}
	return -1;
}

static const char *measure_disk(double *sample)
{
	static char because[128];
	unsigned char *block = buffer(DISK_BLOCK);
	if (block == NULL)
		return "the guest has too little memory available: a block of 1 MiB";
	int fd = open_disk();
	long long start = now_ns();
	size_t total = 0;
	ssize_t count = 0;

	if (fd >= 0) {
		while (total < DISK_BYTES && (count = read(fd, block, DISK_BLOCK)) > 0)
			total += count;
	}
	long long took = now_ns() - start;
	if (fd < 0 || count < 0 || total == 0)
		snprintf(because, sizeof because, "no virtio disk: %s", fd < 0 || count < 0 ? strerror(errno) : "it is empty");
	if (fd >= 0)
		close(fd);
	munmap(block, DISK_BLOCK);
	if (fd < 0 || count < 0 || total == 0)
		return because;
	*sample = (double)total / MIB / (took / 1e9);
	return NULL;
}

static const struct workload WORKLOADS[] = {
	{ "memory-bandwidth", "MiB/s", measure_bandwidth },
	{ "memory-latency", "ns", measure_latency },
	{ "disk-read", "MiB/s", measure_disk },
};

static void report_failure(const char *name, const char *because)
{
	line_add("{\"event\":\"workload-failed\",\"name\":");
	line_text(name);
	line_add(",\"because\":");
	line_text(because);
	line_add("}");
	line_end();
}

void run_workload(const char *name, int rounds)
{
	const struct workload *work = NULL;
	double samples[MAX_ROUNDS];

	for (size_t i = 0; i < sizeof WORKLOADS / sizeof *WORKLOADS; i++) {
		if (strcmp(WORKLOADS[i].name, name) == 0)
			work = &WORKLOADS[i];
	}
	if (work == NULL || rounds < 1 || rounds > MAX_ROUNDS) {
		report_failure(name, work ? "between 1 and 100 rounds are possible" : "no such workload");
		return;
	}
	/* The first sample, which meets untouched memory and cold caches, is not counted. */
	for (int i = -1; i < rounds; i++) {
		const char *because = work->measure(&samples[i < 0 ? 0 : i]);

		if (because) {
			report_failure(name, because);
			return;
		}
	}
	line_add("{\"event\":\"workload\",\"name\":\"%s\",\"unit\":\"%s\",\"samples\":[", work->name, work->unit);
	for (int i = 0; i < rounds; i++)
		line_add("%s%.3f", i ? "," : "", samples[i]);
	line_add("]}");
	line_end();
}
