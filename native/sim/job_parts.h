/* The parts of the job parser, in the order in which job.c calls them. Private to job*.c. */
#ifndef ROCE_SIM_JOB_PARTS_H
#define ROCE_SIM_JOB_PARTS_H

#include "job_fields.h"

/* The defaults of docs/job-format.md, before the job says anything. */
void job_nic_defaults(struct nic_cfg *nic);
void job_switch_defaults(struct switch_cfg *sw);

/* Lays the keys of `object` over `nic` or `sw`, and checks the whole. */
bool job_read_nic(struct job_ctx *ctx, const struct job_where *where, const struct json_value *object,
                  struct nic_cfg *nic);
bool job_read_switch(struct job_ctx *ctx, const struct job_where *where, const struct json_value *object,
                     struct switch_cfg *sw);

/* job_cc.c: sets an algorithm with its defaults; reads the object `cc` over a struct cc_cfg. */
void job_cc_defaults(struct cc_cfg *cc, const char *algorithm);
job_custom_fn job_read_cc;

/* job_sched.c: the list of eight weights; and the check of weights against strict priorities. */
job_custom_fn job_read_weights;
bool job_check_scheduler(struct job_ctx *ctx, const struct job_where *where, const struct json_value *object,
                         const struct sched_cfg *sched);
extern const struct job_choice job_pfc_modes[];

/* job_defects.c: the list of names, into the mask of struct job. */
job_custom_fn job_read_defects;

/* Changes the configurations of a job that has been read as its defective devices would. */
void job_apply_defects(struct job_ctx *ctx);

/* Each reads one list of the job: job_nodes.c, job_links.c, job_flows.c, job_after.c, job_events.c. */
bool job_read_nodes(struct job_ctx *ctx, const struct json_value *list);
bool job_read_links(struct job_ctx *ctx, const struct json_value *list);
bool job_read_flows(struct job_ctx *ctx, const struct json_value *list);
bool job_read_after(struct job_ctx *ctx, const struct json_value *flows);
bool job_read_events(struct job_ctx *ctx, const struct json_value *list);

/* job_links.c, when links are known: every marking switch has a profile for the rates of its ports. */
bool job_check_profiles(struct job_ctx *ctx, const struct job_where *where, const struct json_value *at, uint32_t node,
                        const struct ecn_cfg *ecn);
bool job_check_all_profiles(struct job_ctx *ctx, const struct json_value *nodes);

/* job_paths.c: which host ports reach each other through switches. */
struct job_paths {
  uint32_t *component; /* by node: any switch of the same connected set, its representative */
};
bool job_paths_init(struct job_ctx *ctx, struct job_paths *paths);
void job_paths_free(struct job_paths *paths);
bool job_paths_connected(const struct job *job, const struct job_paths *paths, uint32_t src_port, uint32_t dst_port);

#endif
