t|/* Trims `@text@`, and refuses records where nothing is left of it. */
f|/* Lets every record pass; answer false for those that are to be dropped. */
n|/* Counts records, with the running mean of `@number@`. The host keeps what was counted with the position in the topic. */
c|/* Counts records. The host keeps the count with the position in the topic. */

#include "bespoke.h"
#include "@snake@.h"

t|void exports_@snake@_process(@snake@_list_@record_c@_t *records, @snake@_list_result_option_change_string_t *ret) {
t|  ret->len = records->len;
t|  ret->ptr = bespoke_list(records->len, sizeof *ret->ptr);
t|  for (size_t i = 0; i < records->len; i++) {
t|    @snake@_string_t text = records->ptr[i].@text_c@;
t|    while (text.len > 0 && strchr(" \t\r\n", text.ptr[0]) != NULL) text.ptr++, text.len--;
t|    while (text.len > 0 && strchr(" \t\r\n", text.ptr[text.len - 1]) != NULL) text.len--;
t|    if (text.len == 0) {
t|      ret->ptr[i].is_err = true;
t|      @snake@_string_dup(&ret->ptr[i].val.err, "`@text@` is empty");
t|    } else {
t|      ret->ptr[i].val.ok.is_some = true;
t|      @snake@_string_dup_n(&ret->ptr[i].val.ok.val.@text_c@, (const char *)text.ptr, text.len);
t|    }
t|  }
t|  @snake@_list_@record_c@_free(records);
t|}
f|void exports_@snake@_process(@snake@_list_@record_c@_t *records, @snake@_list_bool_t *ret) {
f|  ret->len = records->len;
f|  ret->ptr = bespoke_list(records->len, sizeof *ret->ptr);
f|  for (size_t i = 0; i < records->len; i++) ret->ptr[i] = true;
f|  @snake@_list_@record_c@_free(records);
f|}
a|static int64_t count;
n|static double mean;
a|
a|void exports_@snake@_analyze(@snake@_list_@record_c@_t *records, @snake@_list_row_t *ret) {
a|  ret->len = records->len;
a|  ret->ptr = bespoke_list(records->len, sizeof *ret->ptr);
a|  for (size_t i = 0; i < records->len; i++) {
a|    count++;
n|    mean += ((double)records->ptr[i].@number_c@ - mean) / (double)count;
n|    ret->ptr[i].mean = mean;
a|    ret->ptr[i].count = count;
a|  }
a|  @snake@_list_@record_c@_free(records);
a|}
a|
a|void exports_@snake@_snapshot(@snake@_string_t *ret) {
a|  char state[64];
n|  snprintf(state, sizeof state, "%lld %.17g", (long long)count, mean);
c|  snprintf(state, sizeof state, "%lld", (long long)count);
a|  @snake@_string_dup(ret, state);
a|}
a|
a|bool exports_@snake@_restore(@snake@_string_t *state, @snake@_string_t *err) {
a|  char text[64];
a|  long long saved;
a|  bool is_good = state->len < sizeof text;
a|  memcpy(text, state->ptr, is_good ? state->len : 0);
a|  text[is_good ? state->len : 0] = 0;
a|  @snake@_string_free(state);
n|  is_good = is_good && sscanf(text, "%lld %lf", &saved, &mean) == 2;
c|  is_good = is_good && sscanf(text, "%lld", &saved) == 1;
a|  if (is_good) count = saved;
a|  if (!is_good) @snake@_string_dup(err, "not a state of this module");
a|  return is_good;
a|}
