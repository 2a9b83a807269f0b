/* Lines for the console: one JSON object each, written at once so that nothing comes between its parts. */
#ifndef LINE_H
#define LINE_H

#include <stdarg.h>

/* Appends to the line; strings must be JSON already, but for those that go through line_text. */
void line_add(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Appends a JSON string, or null. */
void line_text(const char *text);

/* Writes the line and begins a new one. */
void line_end(void);

/* A whole line of one event that says why something else did not happen. */
void line_problem(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
