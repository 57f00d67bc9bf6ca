# Writes op_registry.c from the list of native/load/op_*.c: `load_ops`, ordered by name, and `load_ops_count` (op.h).
# op_pause.c is none of them: it sends frames without a queue pair. Sets `out` to the file written.
function(roce_write_op_registry sources generated_dir out)
  set(names "")
  foreach(source IN LISTS sources)
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "^op_" "" name ${name})
    if(NOT name MATCHES "^pause")
      list(APPEND names ${name})
    endif()
  endforeach()
  list(SORT names)
  set(externs "")
  set(entries "")
  foreach(name IN LISTS names)
    string(APPEND externs "extern const struct load_op load_op_${name};\n")
    string(APPEND entries "  &load_op_${name},\n")
  endforeach()
  list(LENGTH names count)
  file(CONFIGURE OUTPUT ${generated_dir}/op_registry.c @ONLY CONTENT "/* Generated from the files native/load/op_*.c. */
#include \"op.h\"

@externs@
const struct load_op *const load_ops[] = {
@entries@};
const size_t load_ops_count = @count@;
")
  set(${out} ${generated_dir}/op_registry.c PARENT_SCOPE)
endfunction()
