/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What mmquake_widener's two halves share: probe.c delays, control.c takes commands. */
#ifndef MMQUAKE_WIDENER_H
#define MMQUAKE_WIDENER_H

#include <linux/atomic.h>
#include <linux/kprobes.h>
#include <linux/list.h>
#include <linux/sched.h>
#include <linux/types.h>

#define WIDENER_MAX_PPM 1000000U

struct widener_site {
	struct list_head list;
	struct kprobe kp;
	char *name;			/* as the user wrote it */
	char *symbol;			/* without the offset; kp points here */
	char comm[TASK_COMM_LEN];	/* prefix; empty: every task */
	unsigned long min_us;
	unsigned long max_us;
	u32 ppm;
	bool spin;
	u64 stream;			/* hash of the name */
	atomic64_t drawn;		/* hits since the seed was set */
	atomic_t in_stub;		/* tasks between pre-handler and way back */
	atomic64_t hits;
	atomic64_t effective;
	atomic64_t slept;
	atomic64_t spun;
	atomic64_t skipped_full;
	atomic64_t skipped_nested;
};

/* Restarts every site's random stream when it changes; 'drawn' must be reset with it. */
extern u64 widener_seed;
/* False lets every task pass. */
extern bool widener_enabled;

/* Sets the handlers of @site's probe, which is not registered yet. */
void widener_aim(struct widener_site *site);

/*
 * Waits until no task is in the stub because of the sites in @gone, whose probes
 * are unregistered, and takes their tokens back: they can be freed then.
 */
void widener_settle(struct list_head *gone);

#endif
