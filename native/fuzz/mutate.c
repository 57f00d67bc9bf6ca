#include "mutate.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool mutate_read_file(const char *path, struct bytes *out)
{
  FILE *file = fopen(path, "rb");
  if (file == NULL) {
    return false;
  }
  out->data = malloc(MAX_INPUT);
  out->size = out->data == NULL ? 0 : fread(out->data, 1, MAX_INPUT, file);
  fclose(file);
  return out->data != NULL;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
  return strcmp((*a)->d_name, (*b)->d_name);
}

bool mutate_read_corpus(struct mutator *m, const char *folder)
{
  struct dirent **entries = NULL;
  int n = scandir(folder, &entries, NULL, by_name);
  for (int i = 0; i < n; i++) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
    if (entries[i]->d_name[0] != '.' && m->n_files < MAX_FILES && mutate_read_file(path, &m->files[m->n_files])) {
      m->n_files++;
    }
    free(entries[i]);
  }
  free(entries);
  return n >= 0;
}

/* One line `"token"` of an AFL dictionary, with \" \\ and \xNN; others are ignored. */
static void read_token(struct mutator *m, const char *line)
{
  const char *at = strchr(line, '"');
  if (line[0] == '#' || at == NULL || m->n_tokens == MAX_TOKENS) {
    return;
  }
  struct bytes *token = &m->tokens[m->n_tokens];
  token->data = malloc(strlen(at));
  for (at++; token->data != NULL && *at != '\0' && *at != '"'; at++) {
    unsigned code = (unsigned char)*at;
    if (at[0] == '\\' && at[1] == 'x' && isxdigit((unsigned char)at[2]) && isxdigit((unsigned char)at[3])) {
      const char digits[] = {at[2], at[3], '\0'};
      code = (unsigned)strtoul(digits, NULL, 16);
      at += 3;
    } else if (at[0] == '\\' && at[1] != '\0') {
      code = (unsigned char)*++at;
    }
    token->data[token->size++] = (uint8_t)code;
  }
  m->n_tokens += token->data == NULL ? 0 : 1;
}

bool mutate_read_dictionary(struct mutator *m, const char *path)
{
  char line[256];
  FILE *file = fopen(path, "r");
  if (file == NULL) {
    return false;
  }
  while (fgets(line, sizeof line, file) != NULL) {
    read_token(m, line);
  }
  fclose(file);
  return true;
}

/* A number below `bound`, small ones more often. */
static size_t pick(struct mutator *m, size_t bound)
{
  return (size_t)rng_below(&m->rng, rng_below(&m->rng, 2) == 0 ? bound : bound / 8 + 1);
}

/* Replaces `removed` bytes at `at` by `data`, as far as there is room. */
static void splice(struct bytes *input, size_t at, size_t removed, const uint8_t *data, size_t size)
{
  if (at > input->size || removed > input->size - at || input->size - removed + size > MAX_INPUT) {
    return;
  }
  memmove(input->data + at + size, input->data + at + removed, input->size - at - removed);
  if (size > 0) {
    memmove(input->data + at, data, size);
  }
  input->size += size;
  input->size -= removed;
}

/* The end of the number, word or string that starts at or after `at`. */
static size_t token_end(const struct bytes *input, size_t at)
{
  static const char ends[] = ",:]} \n";
  while (at < input->size && memchr(ends, input->data[at], sizeof ends - 1) == NULL) {
    at++;
  }
  return at;
}

/* A random place just after `,`, `:`, `[` or `{`, where a value or a key starts. */
static size_t token_start(struct mutator *m)
{
  size_t at = (size_t)rng_below(&m->rng, m->input.size + 1);
  while (at > 0 && strchr(",:[{ ", (char)m->input.data[at - 1]) == NULL) {
    at--;
  }
  return at;
}

static void replace_token(struct mutator *m)
{
  size_t at = token_start(m);
  const struct bytes *token = &m->tokens[rng_below(&m->rng, m->n_tokens)];
  splice(&m->input, at, token_end(&m->input, at) - at, token->data, token->size);
}

/* Puts an interesting number in the place of a token. */
static void replace_number(struct mutator *m)
{
  static const char *const numbers[] = {"0",
                                        "-1",
                                        "1",
                                        "7",
                                        "8",
                                        "255",
                                        "65535",
                                        "65536",
                                        "2147483647",
                                        "2147483648",
                                        "4294967295",
                                        "4294967296",
                                        "9223372036854775807",
                                        "9223372036854775808",
                                        "18446744073709551615",
                                        "18446744073709551616",
                                        "1e308",
                                        "1e-320",
                                        "0.5",
                                        "1e18"};
  const char *number = numbers[rng_below(&m->rng, sizeof numbers / sizeof numbers[0])];
  size_t at = token_start(m);
  splice(&m->input, at, token_end(&m->input, at) - at, (const uint8_t *)number, strlen(number));
}

/* Copies a piece of some other file, or of the input itself, to a random place. */
static void cross(struct mutator *m)
{
  const struct bytes *other = &m->files[rng_below(&m->rng, m->n_files)];
  if (other->size == 0) {
    return;
  }
  size_t from = (size_t)rng_below(&m->rng, other->size);
  size_t size = pick(m, other->size - from) + 1;
  size = size > other->size - from ? other->size - from : size;
  splice(&m->input, token_start(m), 0, other->data + from, size);
}

/* Changes, drops or doubles bytes. */
static void change_bytes(struct mutator *m)
{
  struct bytes *input = &m->input;
  size_t at = (size_t)rng_below(&m->rng, input->size + 1);
  size_t size = pick(m, 64) + 1;
  uint8_t byte = (uint8_t)rng_u64(&m->rng);
  switch (rng_below(&m->rng, 5)) {
  case 0:
    splice(input, at, 0, &byte, 1);
    break;
  case 1:
    splice(input, at, at < input->size ? 1 : 0, &byte, 1);
    break;
  case 2:
    splice(input, at, size, NULL, 0);
    break;
  case 3:
    if (at < input->size) {
      input->data[at] ^= (uint8_t)(1U << rng_below(&m->rng, 8));
    }
    break;
  default:
    input->size = at;
  }
}

void mutate_next(struct mutator *m)
{
  const struct bytes *file = &m->files[rng_below(&m->rng, m->n_files)];
  memcpy(m->input.data, file->data, file->size);
  m->input.size = file->size;
  for (uint64_t n = 1 + rng_below(&m->rng, 4); n > 0; n--) {
    uint64_t kind = rng_below(&m->rng, 10);
    if (kind < 4 && m->n_tokens > 0) {
      replace_token(m);
    } else if (kind < 7) {
      replace_number(m);
    } else if (kind < 8) {
      cross(m);
    } else {
      change_bytes(m);
    }
  }
}

void mutate_free(struct mutator *m)
{
  for (size_t i = 0; i < m->n_files; i++) {
    free(m->files[i].data);
  }
  for (size_t i = 0; i < m->n_tokens; i++) {
    free(m->tokens[i].data);
  }
  free(m->input.data);
}
