// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * mmquake_widener: delays at probe points, to turn a race window of
 * nanoseconds into one of milliseconds.
 *
 * A kprobe handler must not sleep. So the pre-handler sends the task to a stub
 * instead: it claims a token for (task, stack pointer, site), points regs->ip at
 * the stub and returns 1. The stub saves all registers and calls
 * widener_delay(), which runs in the context of the probed code, outside of any
 * handler: it sleeps where that context allows and spins elsewhere. Then the
 * stub restores the registers and jumps back to the probed address. The probe
 * fires again, finds the token, frees it and lets the task pass.
 */
#include <linux/delay.h>
#include <linux/hash.h>
#include <linux/irqflags.h>
#include <linux/kernel.h>
#include <linux/nmi.h>
#include <linux/objtool.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/string.h>

#include "widener.h"

#define WIDENER_TOKENS_BITS 10
#define WIDENER_TOKENS (1U << WIDENER_TOKENS_BITS)
/* A task's tokens lie within so many slots from its hash. */
#define WIDENER_WINDOW 32
#define WIDENER_SPIN_SLICE_US 50

enum token_state {
	TOKEN_CLAIMED,			/* on the way to the stub, or in it */
	TOKEN_PASS,			/* the next hit passes */
};

/*
 * Only the owner and interrupts on top of it touch a token's fields; the owner
 * is claimed by cmpxchg. An interrupt has another stack pointer than the code
 * that it interrupted, so (task, sp, site) is exact.
 */
struct widener_token {
	struct task_struct *owner;	/* NULL: free */
	unsigned long sp;
	struct widener_site *site;
	u64 hit;			/* which hit of the site this is */
	enum token_state state;
};

/* What the stub has pushed, lowest address first. */
struct stub_frame {
	unsigned long r15, r14, r13, r12, r11, r10, r9, r8;
	unsigned long di, si, bp, bx, dx, cx, ax;
	unsigned long flags;
	unsigned long ip;		/* the stub returns to here */
};

static struct widener_token tokens[WIDENER_TOKENS];
u64 widener_seed = 1;
bool widener_enabled = true;

asmlinkage __visible void widener_delay(struct stub_frame *frame);
void widener_stub(void);

/*
 * Entered by iret or by ftrace's return with every register as at the probe.
 * The slot for the return address comes first, so that `ret` finds it last. The
 * stack has no red zone in the kernel. %rbx keeps the unaligned stack pointer.
 */
asm(".pushsection .text, \"ax\"\n"
    ".globl widener_stub\n"
    ".type widener_stub, @function\n"
    ".balign 16\n"
    "widener_stub:\n"
#ifdef CONFIG_X86_KERNEL_IBT
    "	endbr64\n"
#endif
    "	pushq $0\n"
    "	pushfq\n"
    "	pushq %rax\n"
    "	pushq %rcx\n"
    "	pushq %rdx\n"
    "	pushq %rbx\n"
    "	pushq %rbp\n"
    "	pushq %rsi\n"
    "	pushq %rdi\n"
    "	pushq %r8\n"
    "	pushq %r9\n"
    "	pushq %r10\n"
    "	pushq %r11\n"
    "	pushq %r12\n"
    "	pushq %r13\n"
    "	pushq %r14\n"
    "	pushq %r15\n"
    "	cld\n"
    "	movq %rsp, %rdi\n"
    "	movq %rsp, %rbx\n"
    "	andq $-16, %rsp\n"
    "	call widener_delay\n"
    "	movq %rbx, %rsp\n"
    "	popq %r15\n"
    "	popq %r14\n"
    "	popq %r13\n"
    "	popq %r12\n"
    "	popq %r11\n"
    "	popq %r10\n"
    "	popq %r9\n"
    "	popq %r8\n"
    "	popq %rdi\n"
    "	popq %rsi\n"
    "	popq %rbp\n"
    "	popq %rbx\n"
    "	popq %rdx\n"
    "	popq %rcx\n"
    "	popq %rax\n"
    "	popfq\n"
    "	ret\n"
    "	int3\n"
    ".size widener_stub, .-widener_stub\n"
    ".popsection\n");
STACK_FRAME_NON_STANDARD(widener_stub);
NOKPROBE_SYMBOL(widener_stub);

static struct widener_token *token_at(unsigned int i)
{
	return &tokens[(hash_ptr(current, WIDENER_TOKENS_BITS) + i) &
		       (WIDENER_TOKENS - 1)];
}
NOKPROBE_SYMBOL(token_at);

/* This task's leave to pass @site once at @sp. */
static struct widener_token *token_to_pass(struct widener_site *site,
					   unsigned long sp)
{
	unsigned int i;

	for (i = 0; i < WIDENER_WINDOW; i++) {
		struct widener_token *token = token_at(i);

		if (READ_ONCE(token->owner) == current &&
		    token->state == TOKEN_PASS && token->sp == sp &&
		    token->site == site)
			return token;
	}
	return NULL;
}
NOKPROBE_SYMBOL(token_to_pass);

/*
 * The token with which this task, or what this interrupt sits on, is on its way
 * through the stub. A task has at most one of these.
 */
static struct widener_token *token_in_stub(void)
{
	unsigned int i;

	for (i = 0; i < WIDENER_WINDOW; i++) {
		struct widener_token *token = token_at(i);

		if (READ_ONCE(token->owner) == current &&
		    READ_ONCE(token->state) == TOKEN_CLAIMED)
			return token;
	}
	return NULL;
}
NOKPROBE_SYMBOL(token_in_stub);

static struct widener_token *token_claim(struct widener_site *site,
					 unsigned long sp, u64 hit)
{
	unsigned int i;

	for (i = 0; i < WIDENER_WINDOW; i++) {
		struct widener_token *token = token_at(i);

		if (READ_ONCE(token->owner) ||
		    cmpxchg(&token->owner, NULL, current))
			continue;
		token->site = site;
		token->sp = sp;
		token->hit = hit;
		WRITE_ONCE(token->state, TOKEN_CLAIMED);
		return token;
	}
	return NULL;
}
NOKPROBE_SYMBOL(token_claim);

static void token_free(struct widener_token *token)
{
	token->sp = 0;
	token->site = NULL;
	/* Pairs with the cmpxchg in token_claim(): the fields are free by now. */
	smp_store_release(&token->owner, NULL);
}
NOKPROBE_SYMBOL(token_free);

enum draw_for {
	DRAW_CHANCE,
	DRAW_DELAY,
};

/*
 * SplitMix64's output function: a draw for the n-th hit of a site, without a
 * state. So the seed decides each hit's fate, whatever else happens at once.
 */
static u64 draw(const struct widener_site *site, u64 hit, enum draw_for what)
{
	u64 z = READ_ONCE(widener_seed) * 0xd1342543de82ef95ULL + site->stream +
		(2 * hit + what) * 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}
NOKPROBE_SYMBOL(draw);

static bool comm_matches(const struct widener_site *site)
{
	return !strncmp(current->comm, site->comm, strlen(site->comm));
}
NOKPROBE_SYMBOL(comm_matches);

static int widener_pre(struct kprobe *kp, struct pt_regs *regs)
{
	struct widener_site *site = container_of(kp, struct widener_site, kp);
	/* In the kernel regs->sp is the stack pointer before the trap. */
	unsigned long sp = regs->sp;
	struct widener_token *token = token_to_pass(site, sp);
	u64 hit;

	if (token) {
		token_free(token);
		return 0;
	}
	if (!READ_ONCE(widener_enabled) || !comm_matches(site))
		return 0;
	atomic64_inc(&site->hits);
	hit = atomic64_inc_return(&site->drawn);
	if (draw(site, hit, DRAW_CHANCE) % WIDENER_MAX_PPM >= site->ppm)
		return 0;
	/* A site inside of the delay itself would recurse without end. */
	if (token_in_stub()) {
		atomic64_inc(&site->skipped_nested);
		return 0;
	}
	if (!token_claim(site, sp, hit)) {
		atomic64_inc(&site->skipped_full);
		return 0;
	}
	/* From here until widener_delay() is through, the site must stay. */
	atomic_inc(&site->in_stub);
	regs->ip = (unsigned long)widener_stub;
	return 1;
}
NOKPROBE_SYMBOL(widener_pre);

/*
 * With a post-handler a kprobe is never jump-optimised (an optimised one ignores
 * a changed regs->ip), and one on ftrace may change regs->ip at all.
 */
static void widener_post(struct kprobe *kp, struct pt_regs *regs,
			 unsigned long flags)
{
}
NOKPROBE_SYMBOL(widener_post);

/* May the probed code sleep here? Without a preempt count nobody can tell. */
static bool may_sleep(const struct stub_frame *frame)
{
	if (!IS_ENABLED(CONFIG_PREEMPT_COUNT))
		return false;
	if (in_atomic() || irqs_disabled() || rcu_preempt_depth() > 0)
		return false;
	/* A sleep ends in TASK_RUNNING and would lose the state that is set. */
	if (READ_ONCE(current->__state) != TASK_RUNNING || is_idle_task(current))
		return false;
	/* Inside of stac/clac: the flag would leak into other tasks. */
	return !(frame->flags & X86_EFLAGS_AC);
}
NOKPROBE_SYMBOL(may_sleep);

static void spin_us(unsigned long us)
{
	unsigned long next_touch = 0;
	unsigned long done;

	/* In slices: an interrupt or a preemption in between is welcome. */
	for (done = 0; done < us; done += WIDENER_SPIN_SLICE_US) {
		udelay(min_t(unsigned long, WIDENER_SPIN_SLICE_US, us - done));
		cpu_relax();
		if (done >= next_touch) {
			touch_nmi_watchdog();
			next_touch = done + 10000;
		}
	}
}
NOKPROBE_SYMBOL(spin_us);

asmlinkage __visible void widener_delay(struct stub_frame *frame)
{
	struct widener_token *token = token_in_stub();
	struct widener_site *site = token->site;
	unsigned long us = site->min_us;

	us += draw(site, token->hit, DRAW_DELAY) %
	      (site->max_us - site->min_us + 1);
	if (!site->spin && may_sleep(frame)) {
		if (us)
			usleep_range_state(us, us + us / 16 + 1,
					   TASK_UNINTERRUPTIBLE);
		atomic64_inc(&site->slept);
	} else {
		spin_us(us);
		atomic64_inc(&site->spun);
	}
	atomic64_inc(&site->effective);
	frame->ip = (unsigned long)site->kp.addr;
	WRITE_ONCE(token->state, TOKEN_PASS);
	/*
	 * The site may go from here on; the rest of the stub does not touch it.
	 * Who unloads us waits for the rest by synchronize_rcu_tasks().
	 */
	(void)atomic_dec_return_release(&site->in_stub);
}
NOKPROBE_SYMBOL(widener_delay);

void widener_aim(struct widener_site *site)
{
	site->kp.pre_handler = widener_pre;
	site->kp.post_handler = widener_post;
}

void widener_settle(struct list_head *gone)
{
	struct widener_site *site;
	unsigned int i;

	/*
	 * unregister_kprobe() has waited for the handlers, so in_stub only
	 * falls. It is polled since widener_delay() may run where a wake-up
	 * would deadlock (in the scheduler, with the run queue locked).
	 */
	list_for_each_entry(site, gone, list)
		while (atomic_read_acquire(&site->in_stub))
			usleep_range(500, 1000);
	/* The few instructions from there to the probed address. */
	synchronize_rcu_tasks();

	/* Tasks whose second hit never came: the probe was gone. */
	list_for_each_entry(site, gone, list)
		for (i = 0; i < WIDENER_TOKENS; i++)
			if (READ_ONCE(tokens[i].site) == site)
				token_free(&tokens[i]);
}
