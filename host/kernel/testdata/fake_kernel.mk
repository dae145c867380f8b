# SPDX-License-Identifier: GPL-2.0-or-later
#
# Makefile of the tests' kernel: the targets, variables and output of kbuild that mmquake relies on,
# in a fraction of a second.
#
# Gate: with FAKE_GATE=DIR in the environment, the compiler of the object named in DIR/object first
# leaves half an object, writes its PID into the FIFO DIR/reached, and waits for DIR/go.
KCONFIG_CONFIG ?= $(O)/.config
OBJECTS := $(patsubst %.c,$(O)/%.o,$(sort $(wildcard */*.c)))

# As kbuild does: what has no command noted is made, and what failed is taken away.
UNNOTED := $(foreach o,$(OBJECTS),$(if $(wildcard $(dir $o).$(notdir $o).cmd),,$o))
.DELETE_ON_ERROR:

.PHONY: allnoconfig olddefconfig prepare bzImage modules types.o FORCE
$(UNNOTED): FORCE
allnoconfig:
	@echo "  HOSTCC  scripts/kconfig/conf.o"
	@awk '$$1 == "config" { print "# CONFIG_" $$2 " is not set" }' Kconfig > $(KCONFIG_CONFIG)

olddefconfig:
	@awk -f scripts/olddefconfig.awk Kconfig $(KCONFIG_CONFIG) > $(KCONFIG_CONFIG).tmp
	@mv $(KCONFIG_CONFIG).tmp $(KCONFIG_CONFIG)

$(O)/%.o: %.c
	@mkdir -p $(dir $@)
	@echo "  CC      $*.o"
	@if [ -n "$$FAKE_GATE" ] && [ "$$(cat $$FAKE_GATE/object)" = "$*.o" ]; then \
	  echo half > $@; echo $$$$ > $$FAKE_GATE/reached; cat $$FAKE_GATE/go > /dev/null; fi
	@$(CC) $(KCFLAGS) -g -c -o $@ $<
	@echo made > $(dir $@).$(notdir $@).cmd

$(O)/vmlinux: $(OBJECTS) $(O)/.config
	@echo "  LD      vmlinux"
	@ld -e 0 -o $@ $(OBJECTS)
	@cat $(O)/.config >> $@

bzImage: $(O)/vmlinux
	@mkdir -p $(O)/arch/x86/boot $(O)/include/config
	@echo 6.1.0-fake > $(O)/include/config/kernel.release
	@gzip -n < $(O)/vmlinux > $(O)/arch/x86/boot/bzImage

prepare:

ifdef M
# In place of the kernel's types one of its own.
types.o:
	@test -s $(M)/types.c && test -s $(M)/Kbuild && grep -q 'numbers\[1\]' $(M)/pid.h
	@echo 'struct fake_page { long flags; } *fake_page;' | \
	  $(CC) $(KCFLAGS) -x c -c -o $(M)/types.o -
modules:
	@test -e $(O)/Module.symvers
	@cat $(M)/control.c $(M)/probe.c >$(M)/mmquake_widener.ko
else
modules: $(O)/vmlinux
	@touch $(O)/Module.symvers
endif
