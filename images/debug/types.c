// SPDX-License-Identifier: GPL-2.0
//
// The types and variables that crash and gdb need, out of the kernel's headers: see
// host/kernel/debug_files.h. What every kernel since 6.1 has stands alone; the rest is asked for.

// A copy with one change, before any header includes the kernel's own.
#include "pid.h"

#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/sched/autogroup.h>
#include <linux/sched/clock.h>
#include <linux/sched/cputime.h>
#include <linux/sched/cpufreq.h>
#include <linux/sched/hotplug.h>
#include <linux/sched/isolation.h>
#include <linux/sched/loadavg.h>
#include <linux/sched/mm.h>
#if __has_include(<linux/sched/rseq_api.h>)
#include <linux/sched/rseq_api.h>
#endif
#include <linux/sched/nohz.h>
#include <linux/sched/rt.h>
#include <linux/sched/smt.h>
#include <linux/sched/stat.h>
#include <linux/sched/task_flags.h>
#include <linux/sched/topology.h>
#include <linux/sched/wake_q.h>
#include <linux/mm.h>
#include <linux/mm_types.h>
#include <linux/mmzone.h>
#include <linux/memcontrol.h>
#include <linux/swap.h>
#include <linux/swapops.h>
#include <linux/rmap.h>
#include <linux/hugetlb.h>
#include <linux/huge_mm.h>
#include <linux/migrate.h>
#include <linux/userfaultfd_k.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/dcache.h>
#include <linux/mount.h>
#include <linux/pid_namespace.h>
#include <linux/nsproxy.h>
#include <linux/utsname.h>
#include <linux/cred.h>
#include <linux/xarray.h>
#include <linux/radix-tree.h>
#if __has_include(<linux/maple_tree.h>)
#include <linux/maple_tree.h>
#endif
#include <linux/idr.h>
#include <linux/irq.h>
#include <linux/irqdesc.h>
#include <linux/interrupt.h>
#if __has_include(<linux/timekeeper_internal.h>)
#include <linux/timekeeper_internal.h>
#endif
#include <linux/hrtimer.h>
#include <linux/timer.h>
#include <linux/workqueue.h>
#include <linux/kobject.h>
#include <linux/device.h>
#include <linux/pci.h>
#include <linux/blkdev.h>
#include <linux/netdevice.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <linux/kallsyms.h>
#include <linux/tty.h>
#include <linux/sysrq.h>
#include <linux/percpu.h>
#include <linux/elf.h>
#include <linux/init_task.h>
#include <linux/console.h>
#include <net/sock.h>
#include <net/tcp.h>
#include <linux/bpf.h>
#include <linux/inetdevice.h>
#include <linux/ipc_namespace.h>
#include <linux/kernfs.h>
#include <linux/sbitmap.h>
#include <linux/shmem_fs.h>
#include <asm/cpu_entry_area.h>
#include <asm/desc.h>
#include <asm/irq_stack.h>
#include <asm/switch_to.h>
#include <asm/tlbflush.h>
#include <asm/pgtable.h>
#include <asm/processor.h>
#if __has_include(<asm/e820/types.h>)
#include <asm/e820/types.h>
#endif
#include <asm/unwind.h>
#include <asm/stacktrace.h>

// Of the scheduler, the allocator, the mounts and the log, whose headers are their own.
#include "kernel/sched/sched.h"
#include "mm/slab.h"
#include "mm/internal.h"
#include "fs/mount.h"
#include "kernel/printk/printk_ringbuffer.h"
#include "kernel/time/tick-sched.h"
#if __has_include("kernel/module/internal.h")
#include "kernel/module/internal.h"
#endif

// Variables that no header declares, by which the kernel's own commands for gdb find modules and log.
extern struct list_head modules;
extern struct printk_ringbuffer *prb;
