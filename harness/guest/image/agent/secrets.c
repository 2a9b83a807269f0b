/* The table of secrets that a launch secret puts into guest memory (AMD, and Linux efi_secret.c). */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "line.h"

#define GUID_BYTES 16
#define HEADER_BYTES 20
#define MAX_TABLE (16 * 1024)
#define PAGE 4096

/* 1e74f542-71dd-4d66-963e-ef4287ff173b, the first three groups little-endian. */
static const unsigned char TABLE_GUID[GUID_BYTES] = { 0x42, 0xf5, 0x74, 0x1e, 0xdd, 0x71, 0x66, 0x4d,
						      0x96, 0x3e, 0xef, 0x42, 0x87, 0xff, 0x17, 0x3b };

static uint32_t length_at(const unsigned char *header)
{
	uint32_t length;

	memcpy(&length, header + GUID_BYTES, sizeof length);
	return length;
}

static void write_entry(const char *folder, const unsigned char *guid, const unsigned char *data, size_t bytes)
{
	static const int order[GUID_BYTES] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
	char path[256];
	int used = snprintf(path, sizeof path, "%s/", folder);

	for (int i = 0; i < GUID_BYTES; i++)
		used += sprintf(path + used, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", guid[order[i]]);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, data, bytes) != (ssize_t)bytes)
		line_problem("cannot keep a secret in %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

/*
 * Reads a table as far as it goes, page by page: a read that ends in a page that is not reserved gives nothing at all
 * (drivers/char/mem.c under CONFIG_STRICT_DEVMEM).
 */
static uint32_t read_table(uint64_t address, unsigned char *table)
{
	int fd = open("/dev/mem", O_RDONLY);
	uint32_t length = HEADER_BYTES;
	uint32_t done = 0;

	while (done < length) {
		uint32_t rest = PAGE - (address + done) % PAGE;
		ssize_t count = fd < 0 ? -1 : pread(fd, table + done, rest < MAX_TABLE - done ? rest : MAX_TABLE - done, address + done);

		if (count <= 0) {
			line_problem("guest memory at 0x%llx cannot be read: %s", (unsigned long long)address + done, strerror(errno));
			break;
		}
		done += count;
		if (done >= HEADER_BYTES && memcmp(table, TABLE_GUID, GUID_BYTES) != 0)
			break;
		if (done >= HEADER_BYTES)
			length = length_at(table) < MAX_TABLE ? length_at(table) : MAX_TABLE;
	}
	if (fd >= 0)
		close(fd);
	return done;
}

void extract_secrets(uint64_t address, const char *folder)
{
	static unsigned char table[MAX_TABLE];
	uint32_t count = read_table(address, table);

	if (count < HEADER_BYTES || memcmp(table, TABLE_GUID, GUID_BYTES) != 0)
		return;
	uint32_t end = length_at(table);
	if (end > count)
		return;
	for (uint32_t at = HEADER_BYTES; at + HEADER_BYTES <= end;) {
		uint32_t length = length_at(table + at);

		if (length < HEADER_BYTES || length > end - at)
			break;
		write_entry(folder, table + at, table + at + HEADER_BYTES, length - HEADER_BYTES);
		at += length;
	}
}
