/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A header's inline function, as the kernel has thousands. */
static inline __attribute__((always_inline)) void lock_page(volatile int* page) {
  *page = 1; /* line 4 */
}
