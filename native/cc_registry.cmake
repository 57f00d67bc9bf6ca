# Writes two C files from the list of native/sim/cc_*.c:
#   cc_registry.c  `const struct cc_ops *const cc_registry[]` and `const size_t cc_registry_size`, for the engine
#                  (only when cc.h exists: it declares struct cc_ops and both names)
#   job_names.c    job_known_algorithm() and job_algorithm_name(), for the job parser, which knows no cc.h
# Sets `out` to the files written.
function(roce_write_cc_registry sources sim_dir generated_dir out)
  set(names "")
  foreach(source IN LISTS sources)
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "^cc_" "" name ${name})
    list(APPEND names ${name})
  endforeach()
  list(SORT names)
  set(written ${generated_dir}/job_names.c)
  roce_write_job_names("${names}" ${generated_dir}/job_names.c)
  if(names AND EXISTS ${sim_dir}/cc.h)
    roce_write_registry("${names}" ${generated_dir}/cc_registry.c)
    list(APPEND written ${generated_dir}/cc_registry.c)
  endif()
  set(${out} ${written} PARENT_SCOPE)
endfunction()

# The table of operations.
function(roce_write_registry names file)
  set(externs "")
  set(entries "")
  foreach(name IN LISTS names)
    string(APPEND externs "extern const struct cc_ops cc_${name};\n")
    string(APPEND entries "  &cc_${name},\n")
  endforeach()
  list(LENGTH names count)
  file(CONFIGURE OUTPUT ${file} @ONLY CONTENT "/* Generated from the files native/sim/cc_*.c. */
#include <stddef.h>

#include \"cc.h\"

@externs@
extern const struct cc_ops *const cc_registry[];
extern const size_t cc_registry_size;

const struct cc_ops *const cc_registry[] = {
@entries@};
const size_t cc_registry_size = @count@;
")
endfunction()

# The names alone.
function(roce_write_job_names names file)
  if(NOT names)
    set(names dcqcn mlx5 none ns3) # no engine in this tree: the names docs/job-format.md gives
  endif()
  set(entries "")
  foreach(name IN LISTS names)
    string(APPEND entries "  \"${name}\",\n")
  endforeach()
  file(CONFIGURE OUTPUT ${file} @ONLY CONTENT "/* Generated from the files native/sim/cc_*.c. */
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include \"job_names.h\"

static const char *const names[] = {
@entries@};

const char *job_algorithm_name(size_t index) {
  return index < sizeof names / sizeof names[0] ? names[index] : NULL;
}

bool job_known_algorithm(const char *name) {
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    if (strcmp(names[i], name) == 0) {
      return true;
    }
  }
  return false;
}
")
endfunction()
