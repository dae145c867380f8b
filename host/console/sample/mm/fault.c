/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "inline/locks.h"

int handle_fault(volatile int* page);

__attribute__((noinline)) static int twin(volatile int* page) {
  return *page + 1; /* line 7 */
}

/* Same name, same size as in mm/other.c. */
__attribute__((noinline)) static int same(volatile int* page) {
  return *page + 2; /* line 12 */
}

static inline __attribute__((always_inline)) void wait_on_page(volatile int* page) {
  *page = 2;       /* line 16 */
  lock_page(page); /* line 17 */
}

__attribute__((noinline)) int handle_fault(volatile int* page) {
  *page = 3;                      /* line 21 */
  wait_on_page(page);             /* line 22 */
  return twin(page) + same(page); /* line 23 */
}
