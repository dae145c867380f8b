/* SPDX-License-Identifier: GPL-2.0-or-later */
int other_fault(volatile int* page);

__attribute__((noinline)) static int twin(volatile int* page) {
  *page = *page * 1001; /* line 5 */
  return *page + *page * 77;
}

__attribute__((noinline)) static int same(volatile int* page) {
  return *page + 2; /* line 10 */
}

__attribute__((noinline)) int other_fault(volatile int* page) {
  return twin(page) + same(page); /* line 14 */
}
