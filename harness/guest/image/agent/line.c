#include "line.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char PREFIX[] = "SEVH ";
static char line[8192] = "SEVH ";
static size_t used = sizeof PREFIX - 1;

static void add_bytes(const char *bytes, size_t count)
{
	/* A line that is too long is cut, and the reader refuses it. */
	if (count > sizeof line - 1 - used)
		count = sizeof line - 1 - used;
	memcpy(line + used, bytes, count);
	used += count;
}

static void add_formatted(const char *format, va_list values)
{
	char part[1024];
	int count = vsnprintf(part, sizeof part, format, values);

	if (count > 0)
		add_bytes(part, (size_t)count < sizeof part ? (size_t)count : sizeof part - 1);
}

void line_add(const char *format, ...)
{
	va_list values;

	va_start(values, format);
	add_formatted(format, values);
	va_end(values);
}

void line_text(const char *text)
{
	if (text == NULL) {
		add_bytes("null", 4);
		return;
	}
	add_bytes("\"", 1);
	for (; *text; text++) {
		unsigned char c = *text;

		if (c == '"' || c == '\\')
			line_add("\\%c", c);
		else if (c < 0x20 || c > 0x7e)
			line_add("\\u%04x", c);
		else
			add_bytes(text, 1);
	}
	add_bytes("\"", 1);
}

void line_end(void)
{
	line[used++] = '\n';
	for (size_t done = 0; done < used;) {
		ssize_t count = write(STDOUT_FILENO, line + done, used - done);

		if (count <= 0)
			break;
		done += count;
	}
	used = sizeof PREFIX - 1;
}

void line_problem(const char *format, ...)
{
	char what[512];
	va_list values;

	va_start(values, format);
	vsnprintf(what, sizeof what, format, values);
	va_end(values);
	line_add("{\"event\":\"problem\",\"what\":");
	line_text(what);
	line_add("}");
	line_end();
}
