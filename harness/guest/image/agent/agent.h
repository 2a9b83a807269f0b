/* The parts of the agent: each carries out one request of the command line and prints what came of it. */
#ifndef AGENT_H
#define AGENT_H

#include <stddef.h>
#include <stdint.h>

void report_ready(int module_count, char **modules);
void report_cpu(void);
void report_encryption(void);

/* Fills memory with the token and stays. */
void keep_canary(const char *token_hex, size_t kib);

/* Fills pages, the same in every guest that is given this seed, and stays. */
void keep_equal_pages(size_t pages, const char *seed);

/* Writes each entry of the table of secrets at a guest-physical address into a file named by its GUID. */
void extract_secrets(uint64_t address, const char *folder);

void run_workload(const char *name, int rounds);

/* Makes the file once it watches the button, and returns when that is pressed. */
void wait_for_power_button(const char *watching);

/* The first line of the kernel log that has these words in it, without its time; NULL when there is none. */
const char *kernel_log_line(const char *words);

#endif
