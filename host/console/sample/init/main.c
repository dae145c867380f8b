/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A kernel in miniature for symbolizer_test. Line numbers are part of the test. */
__asm__(".text\n.globl _text\n_text:\n"); int handle_fault(volatile int* page);
int other_fault(volatile int* page);

int main(int argc, char** argv) {
  (void)argv;
  volatile int page = argc;
  return handle_fault(&page) + other_fault(&page);
}
