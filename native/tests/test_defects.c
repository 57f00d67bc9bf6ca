/* Defects and DSCPs in a job: names, and what they make of its configurations. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job_text.h"
#include "sim/defect.h"
#include "test.h"

/* The base with `text` in place of its seed. */
static struct job *with(const char *text)
{
  char *changed = job_text_replace(job_text_base, "\"seed\": 7", text);
  struct job *job = job_text_parse(changed);
  free(changed);
  return job;
}

TEST(defects_default_is_none)
{
  struct job *job = job_text_parse(job_text_base);
  ASSERT_EQ(job->defects, UINT64_C(0));
  job_free(job);
}

TEST(defects_each_name_is_its_bit)
{
  for (int i = 0; i < DEFECT_COUNT; i++) {
    char text[96];
    snprintf(text, sizeof text, "\"defects\": [\"%s\"]", defect_info[i].name);
    struct job *job = with(text);
    ASSERT_EQ(job->defects, defect_bit((enum defect)i));
    job_free(job);
  }
}

TEST(defects_add_up_and_may_be_named_twice)
{
  struct job *job = with("\"defects\": [\"nak_storm\", \"bit_errors\", \"nak_storm\"]");
  ASSERT_EQ(job->defects, defect_bit(DEFECT_NAK_STORM) | defect_bit(DEFECT_BIT_ERRORS));
  job_free(job);
}

/* A shared configuration, one of a node's own and one of an event are each changed once. */
TEST(defects_change_each_configuration_once)
{
  char *own = job_text_replace(job_text_base, "{\"name\": \"h2\", \"kind\": \"host\", \"ports\": [\"p0\"]}",
                               "{\"name\": \"h2\", \"kind\": \"host\", \"ports\": [\"p0\"], "
                               "\"nic\": {\"ack_timeout_exponent\": 5}}");
  char *event = job_text_replace(own, "\"events\": []",
                                 "\"events\": [{\"at_ps\": 1, \"kind\": \"qos\", \"node\": \"h2\", "
                                 "\"nic\": {\"retry_count\": 3}}]");
  char *text = job_text_replace(event, "\"seed\": 7", "\"defects\": [\"ack_timeout_x16\", \"mtu_halved\"]");
  struct job *job = job_text_parse(text);
  ASSERT_EQ(job->nodes[0].nic->ack_timeout_exponent, 18U);
  ASSERT_EQ(job->nodes[0].nic->mtu_bytes, 512U);
  ASSERT(job->nodes[2].nic == job->nodes[0].nic);
  ASSERT_EQ(job->nodes[1].nic->ack_timeout_exponent, 9U);
  ASSERT_EQ(job->events[0].nic->ack_timeout_exponent, 9U);
  ASSERT_EQ(job->events[0].nic->mtu_bytes, 512U);
  ASSERT_EQ(job->events[0].nic->retry_count, 3U);
  job_free(job);
  free(own);
  free(event);
  free(text);
}

TEST(defects_leave_the_infinite_timeout_alone)
{
  char *text = job_text_replace(job_text_base, "\"nic\": {}", "\"nic\": {\"ack_timeout_exponent\": 0}");
  char *both = job_text_replace(text, "\"seed\": 7", "\"defects\": [\"ack_timeout_x16\"]");
  struct job *job = job_text_parse(both);
  ASSERT_EQ(job->nodes[0].nic->ack_timeout_exponent, 0U);
  job_free(job);
  free(text);
  free(both);
}

TEST(dscp_defaults)
{
  struct job *job = job_text_parse(job_text_base);
  ASSERT_EQ(job->flows[0].priority, 3U);
  ASSERT_EQ(job->flows[0].dscp, 26U);
  for (unsigned dscp = 0; dscp < DSCP_COUNT; dscp++)
    ASSERT_EQ((unsigned)job->nodes[3].sw->dscp_map[dscp], dscp / 8);
  for (unsigned prio = 0; prio < PRIO_COUNT; prio++)
    ASSERT_EQ((unsigned)DSCP_DEFAULT_PRIORITY(dscp_of_priority[prio]), prio);
  job_free(job);
}

TEST(dscp_keys)
{
  char map[256] = "\"switch\": {\"dscp_map\": [";
  for (unsigned dscp = 0; dscp < DSCP_COUNT; dscp++) {
    char priority[8];
    snprintf(priority, sizeof priority, "%s%u", dscp == 0 ? "" : ",", dscp % 8);
    strcat(map, priority);
  }
  strcat(map, "]}");
  char *text = job_text_replace(job_text_base, "\"switch\": {}", map);
  char *both = job_text_replace(text, "65536}", "65536, \"priority\": 5, \"dscp\": 63}");
  struct job *job = job_text_parse(both);
  ASSERT_EQ(job->flows[0].dscp, 63U);
  ASSERT_EQ((unsigned)job->nodes[3].sw->dscp_map[26], 2U);
  job_free(job);
  free(text);
  free(both);
}
