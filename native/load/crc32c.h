/* CRC32C (Castagnoli, RFC 3720 appendix B.4), by the processor's instruction where it has one. */
#ifndef ROCE_LOAD_CRC32C_H
#define ROCE_LOAD_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continues `crc` (0 at the start; the value returned before) over `length` bytes. */
uint32_t crc32c(uint32_t crc, const void *data, size_t length);
/* The same in plain C, for tests and other processors. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t length);

#endif
