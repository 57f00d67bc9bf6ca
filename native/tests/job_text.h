/* A small good job and ways to change it, for tests of the parser. */
#ifndef ROCE_TESTS_JOB_TEXT_H
#define ROCE_TESTS_JOB_TEXT_H

#include <stddef.h>

#include "sim/job.h"

/* One key or element a line, so that tests can name positions. */
extern const char job_text_base[];

/* The base with the one occurrence of `from` replaced by `to`; from malloc(). Ends the test when `from` is not there
 * once. */
char *job_text_replace(const char *text, const char *from, const char *to);

/* Parses text that must be good. */
struct job *job_text_parse(const char *text);

#endif
