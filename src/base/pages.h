/* Memory for what a shard holds by the thousand: mapped, zeroed, costing memory when it is first
 * used, and in huge pages where the kernel gives any (madvise), since what thousands of calls touch
 * lies on more small pages than a processor knows the addresses of. Taken at boot, by the thread
 * that boots; never for what comes and goes. */
#ifndef BASE_PAGES_H
#define BASE_PAGES_H

#include <stddef.h>

#define PAGES_HUGE_BYTES 2097152

/* At least `bytes`, at the beginning of a page, of a huge one if they are that many. Aborts
 * without.
 */
void *pages_new(size_t bytes);
/* The same `bytes`. Accepts NULL. */
void pages_free(void *at, size_t bytes);

#endif
