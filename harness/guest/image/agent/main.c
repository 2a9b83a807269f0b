/* The agent of the guest image. The init script calls it, once for each thing that is asked on the kernel command line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "line.h"

int main(int count, char **words)
{
	const char *verb = count > 1 ? words[1] : "";

	if (strcmp(verb, "ready") == 0)
		report_ready(count - 2, words + 2);
	else if (strcmp(verb, "cpu") == 0)
		report_cpu();
	else if (strcmp(verb, "encryption") == 0)
		report_encryption();
	else if (strcmp(verb, "canary") == 0 && count == 4)
		keep_canary(words[2], strtoul(words[3], NULL, 10));
	else if (strcmp(verb, "equal-pages") == 0 && count == 4)
		keep_equal_pages(strtoul(words[2], NULL, 10), words[3]);
	else if (strcmp(verb, "extract-secrets") == 0 && count == 4)
		extract_secrets(strtoull(words[2], NULL, 16), words[3]);
	else if (strcmp(verb, "workload") == 0 && count == 4)
		run_workload(words[2], atoi(words[3]));
	else if (strcmp(verb, "power-button") == 0 && count == 3)
		wait_for_power_button(words[2]);
	else if (strcmp(verb, "problem") == 0 && count == 3)
		line_problem("%s", words[2]);
	else {
		fprintf(stderr, "usage: agent ready|cpu|encryption|canary|equal-pages|extract-secrets|workload|power-button\n");
		return 2;
	}
	return 0;
}
