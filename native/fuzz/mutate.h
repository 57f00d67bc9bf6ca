/* Corpus, dictionary and mutations of the built-in fuzzer. */
#ifndef ROCE_FUZZ_MUTATE_H
#define ROCE_FUZZ_MUTATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/rng.h"

enum { MAX_INPUT = 1 << 16, MAX_TOKENS = 512, MAX_FILES = 4096 };

struct bytes {
  uint8_t *data;
  size_t size;
};

struct mutator {
  struct rng rng;
  struct bytes files[MAX_FILES];
  size_t n_files;
  struct bytes tokens[MAX_TOKENS];
  size_t n_tokens;
  struct bytes input; /* MAX_INPUT bytes of room */
};

/* At most MAX_INPUT bytes of a file, in new memory. */
bool mutate_read_file(const char *path, struct bytes *out);

/* All files of a folder, in the order of their names, so that a seed always means the same inputs. */
bool mutate_read_corpus(struct mutator *m, const char *folder);

/* A dictionary as AFL and libFuzzer read it. */
bool mutate_read_dictionary(struct mutator *m, const char *path);

/* Makes m->input a file of the corpus with a few changes. */
void mutate_next(struct mutator *m);

void mutate_free(struct mutator *m);

#endif
