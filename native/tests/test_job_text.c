#include "job_text.h"

#include <stdlib.h>
#include <string.h>

#include "test.h"

const char job_text_base[] =
    "{\"format\": 1, \"name\": \"base\",\n"
    " \"seed\": 7, \"duration_ps\": 1000000000000,\n"
    " \"nodes\": [\n"
    "  {\"name\": \"h1\", \"kind\": \"host\", \"ports\": [\"p0\", \"p1\"]},\n"
    "  {\"name\": \"h2\", \"kind\": \"host\", \"ports\": [\"p0\"]},\n"
    "  {\"name\": \"h3\", \"kind\": \"host\", \"ports\": [\"p0\"]},\n"
    "  {\"name\": \"sw1\", \"kind\": \"switch\", \"ports\": [\"e1\", \"e2\", \"e3\", \"e4\"]},\n"
    "  {\"name\": \"sw2\", \"kind\": \"switch\", \"ports\": [\"e1\", \"e2\"]}],\n"
    " \"links\": [\n"
    "  {\"a\": \"h1:p0\", \"b\": \"sw1:e1\", \"rate_bps\": 100000000000, \"delay_ps\": 1000000},\n"
    "  {\"a\": \"sw1:e2\", \"b\": \"h2:p0\", \"rate_bps\": 100000000000, \"delay_ps\": 1000000},\n"
    "  {\"a\": \"h3:p0\", \"b\": \"sw2:e1\", \"rate_bps\": 25000000000, \"delay_ps\": 1000000}],\n"
    " \"flows\": [\n"
    "  {\"name\": \"f1\", \"src\": \"h1:p0\", \"dst\": \"h2:p0\", \"message_bytes\": 65536},\n"
    "  {\"name\": \"f2\", \"src\": \"h2:p0\", \"dst\": \"h1:p0\", \"message_bytes\": 100, \"after\": [\"f1\"]}],\n"
    " \"nic\": {},\n"
    " \"switch\": {},\n"
    " \"events\": []}\n";

char *job_text_replace(const char *text, const char *from, const char *to)
{
  const char *at = strstr(text, from);
  if (at == NULL || strstr(at + 1, from) != NULL) {
    test_fail(__FILE__, __LINE__, "not exactly one '%s' in: %s", from, text);
  }
  size_t head = (size_t)(at - text);
  char *out = malloc(strlen(text) + strlen(to) + 1);
  ASSERT(out != NULL);
  memcpy(out, text, head);
  strcpy(out + head, to);
  strcat(out, at + strlen(from));
  return out;
}

struct job *job_text_parse(const char *text)
{
  struct job_error error;
  struct job *job = job_parse(text, strlen(text), &error);
  if (job == NULL) {
    test_fail(__FILE__, __LINE__, "%u:%u: %s: %s", (unsigned)error.line, (unsigned)error.column, error.path,
              error.message);
  }
  return job;
}

TEST(base_is_a_good_job)
{
  job_free(job_text_parse(job_text_base));
  job_free(NULL);
}
