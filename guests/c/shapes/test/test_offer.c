#undef NDEBUG
#include "../offer.h"

#include <assert.h>
#include <math.h>
#include <string.h>

int main(void) {
  assert(!offer_is_refused(0.01) && offer_is_refused(0) && offer_is_refused(-1) && offer_is_refused(NAN));
  assert(offer_total(0.5, -3) == -1.5);
  int32_t number = -1;
  assert(offer_whole("007", 3, &number) && number == 7);
  assert(offer_whole("999999999", 9, &number) && number == 999999999);
  const char *bad[] = {"", "-1", "+1", "1.0", "1000000000", "x"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert(!offer_whole(bad[i], strlen(bad[i]), &number));
  return 0;
}
