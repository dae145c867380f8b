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
 *
 * Control, in /sys/kernel/debug/mmquake_widener/:
 *   control  one command a write:
 *              add SITE MIN_US MAX_US PROBABILITY_PPM auto|spin [COMM]
 *              clear            remove all sites
 *              seed N           restart every site's random stream from N
 *              enable 0|1       0 lets every task pass; sites and counts stay
 *   sites    one line a site: its name and its counters
 *
 * Add and clear sites while the code under them is quiet, and use 'enable' while
 * it is hot: QEMU's TCG before 8.1 can keep a stale translation of an
 * instruction that is patched while another CPU translates it. Such a CPU then
 * runs into an int3 that is no longer there, for ever.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/hash.h>
#include <linux/irqflags.h>
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/list.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/nmi.h>
#include <linux/objtool.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#define WIDENER_MAX_US 10000000UL
#define WIDENER_MAX_PPM 1000000U
#define WIDENER_MAX_SITES 64
#define WIDENER_MAX_COMMAND 512
#define WIDENER_TOKENS_BITS 10
#define WIDENER_TOKENS (1U << WIDENER_TOKENS_BITS)
/* A task's tokens lie within so many slots from its hash. */
#define WIDENER_WINDOW 32
#define WIDENER_SPIN_SLICE_US 50

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
static LIST_HEAD(sites);
static unsigned int nr_sites;
static DEFINE_MUTEX(sites_lock);	/* sites, nr_sites, and every command */
static u64 seed = 1;
static bool enabled = true;
static struct dentry *debug_dir;

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
	u64 z = READ_ONCE(seed) * 0xd1342543de82ef95ULL + site->stream +
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
	if (!READ_ONCE(enabled) || !comm_matches(site))
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

/* A site whose probe was never registered, or is unregistered. */
static void site_free(struct widener_site *site)
{
	kfree(site->name);
	kfree(site->symbol);
	kfree(site);
}

/*
 * After this no task holds the sites in @gone, none is in the stub because of
 * them, and they are freed.
 */
static void sites_release(struct list_head *gone)
{
	struct widener_site *site, *next;
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

	list_for_each_entry_safe(site, next, gone, list) {
		/* Tasks whose second hit never came: the probe was gone. */
		for (i = 0; i < WIDENER_TOKENS; i++)
			if (READ_ONCE(tokens[i].site) == site)
				token_free(&tokens[i]);
		list_del(&site->list);
		site_free(site);
	}
}

static void sites_clear(void)
{
	struct widener_site *site;
	LIST_HEAD(gone);

	lockdep_assert_held(&sites_lock);
	if (list_empty(&sites))
		return;
	list_for_each_entry(site, &sites, list)
		unregister_kprobe(&site->kp);
	list_splice_init(&sites, &gone);
	nr_sites = 0;
	sites_release(&gone);
}

/* "symbol" or "symbol+0xoffset" */
static int parse_place(struct widener_site *site, const char *place)
{
	unsigned int offset = 0;
	char *plus;
	int err;

	site->name = kstrdup(place, GFP_KERNEL);
	site->symbol = kstrdup(place, GFP_KERNEL);
	if (!site->name || !site->symbol)
		return -ENOMEM;
	plus = strchr(site->symbol, '+');
	if (plus) {
		*plus = '\0';
		err = kstrtouint(plus + 1, 0, &offset);
		if (err)
			return err;
	}
	if (!*site->symbol)
		return -EINVAL;
	site->kp.symbol_name = site->symbol;
	site->kp.offset = offset;
	return 0;
}

static int parse_delay(struct widener_site *site, const char *min,
		       const char *max, const char *ppm, const char *mode)
{
	int err;

	err = kstrtoul(min, 10, &site->min_us);
	if (!err)
		err = kstrtoul(max, 10, &site->max_us);
	if (!err)
		err = kstrtou32(ppm, 10, &site->ppm);
	if (err)
		return err;
	if (site->min_us > site->max_us || site->max_us > WIDENER_MAX_US ||
	    site->ppm > WIDENER_MAX_PPM)
		return -ERANGE;
	if (!strcmp(mode, "spin"))
		site->spin = true;
	else if (strcmp(mode, "auto"))
		return -EINVAL;
	return 0;
}

static u64 hash_name(const char *name)
{
	u64 hash = 0xcbf29ce484222325ULL;

	while (*name)
		hash = (hash ^ (u8)*name++) * 0x100000001b3ULL;
	return hash;
}

static int site_parse(struct widener_site *site, char *args)
{
	char *word[6] = { NULL };
	char *token;
	int n = 0;
	int err;

	while ((token = strsep(&args, " \t")) != NULL) {
		if (!*token)
			continue;
		if (n == ARRAY_SIZE(word))
			return -EINVAL;
		word[n++] = token;
	}
	if (n < 5)
		return -EINVAL;
	err = parse_place(site, word[0]);
	if (!err)
		err = parse_delay(site, word[1], word[2], word[3], word[4]);
	if (err)
		return err;
	if (word[5] && strscpy(site->comm, word[5], sizeof(site->comm)) < 0)
		return -ENAMETOOLONG;
	site->stream = hash_name(site->name);
	site->kp.pre_handler = widener_pre;
	site->kp.post_handler = widener_post;
	return 0;
}

/*
 * Two sites at one address would each restart the other's delay, for ever: the
 * second is refused.
 */
static bool address_taken(const struct widener_site *new)
{
	struct widener_site *site;

	list_for_each_entry(site, &sites, list)
		if (site->kp.addr == new->kp.addr)
			return true;
	return false;
}

static int command_add(char *args)
{
	struct widener_site *site;
	LIST_HEAD(gone);
	int err;

	if (nr_sites >= WIDENER_MAX_SITES)
		return -ENOSPC;
	site = kzalloc(sizeof(*site), GFP_KERNEL);
	if (!site)
		return -ENOMEM;
	err = site_parse(site, args);
	if (err)
		goto free;
	/* The address is known only after registering: arm it afterwards. */
	site->kp.flags = KPROBE_FLAG_DISABLED;
	err = register_kprobe(&site->kp);
	if (err)
		goto free;
	err = address_taken(site) ? -EEXIST : enable_kprobe(&site->kp);
	if (err) {
		unregister_kprobe(&site->kp);
		goto free;
	}
	list_add_tail(&site->list, &sites);
	nr_sites++;
	return 0;
free:
	site_free(site);
	return err;
}

static int command_seed(const char *arg)
{
	struct widener_site *site;
	u64 value;
	int err = kstrtou64(arg, 0, &value);

	if (err)
		return err;
	WRITE_ONCE(seed, value);
	list_for_each_entry(site, &sites, list)
		atomic64_set(&site->drawn, 0);
	return 0;
}

static int command_enable(const char *arg)
{
	bool value;
	int err = kstrtobool(arg, &value);

	if (!err)
		WRITE_ONCE(enabled, value);
	return err;
}

static int command_run(char *line)
{
	char *verb = strsep(&line, " \t");

	if (!strcmp(verb, "clear") && !line) {
		sites_clear();
		return 0;
	}
	if (!line)
		return -EINVAL;
	if (!strcmp(verb, "add"))
		return command_add(line);
	if (!strcmp(verb, "seed"))
		return command_seed(line);
	if (!strcmp(verb, "enable"))
		return command_enable(line);
	return -EINVAL;
}

static ssize_t control_write(struct file *file, const char __user *from,
			     size_t len, loff_t *pos)
{
	char *text;
	int err;

	if (len > WIDENER_MAX_COMMAND)
		return -E2BIG;
	text = memdup_user_nul(from, len);
	if (IS_ERR(text))
		return PTR_ERR(text);
	mutex_lock(&sites_lock);
	err = command_run(strim(text));
	mutex_unlock(&sites_lock);
	kfree(text);
	return err ? err : len;
}

static const struct file_operations control_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = control_write,
};

static int sites_show(struct seq_file *m, void *unused)
{
	struct widener_site *site;

	mutex_lock(&sites_lock);
	list_for_each_entry(site, &sites, list)
		seq_printf(m, "%s hits=%lld effective=%lld slept=%lld spun=%lld skipped_full=%lld skipped_nested=%lld missed=%lu\n",
			   site->name, atomic64_read(&site->hits),
			   atomic64_read(&site->effective),
			   atomic64_read(&site->slept),
			   atomic64_read(&site->spun),
			   atomic64_read(&site->skipped_full),
			   atomic64_read(&site->skipped_nested),
			   site->kp.nmissed);
	mutex_unlock(&sites_lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(sites);

static int __init widener_init(void)
{
	debug_dir = debugfs_create_dir(KBUILD_MODNAME, NULL);
	if (IS_ERR(debug_dir))
		return PTR_ERR(debug_dir);
	debugfs_create_file("control", 0200, debug_dir, NULL, &control_fops);
	debugfs_create_file("sites", 0400, debug_dir, NULL, &sites_fops);
	return 0;
}

static void __exit widener_exit(void)
{
	/* Waits for writers in control_write(). */
	debugfs_remove_recursive(debug_dir);
	mutex_lock(&sites_lock);
	sites_clear();
	mutex_unlock(&sites_lock);
}

module_init(widener_init);
module_exit(widener_exit);

MODULE_DESCRIPTION("Delays at probe points, to widen race windows");
MODULE_LICENSE("GPL");
