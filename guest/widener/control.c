// SPDX-License-Identifier: GPL-2.0-or-later
/*
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
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "widener.h"

#define WIDENER_MAX_US 10000000UL
#define WIDENER_MAX_SITES 64
#define WIDENER_MAX_COMMAND 512

static LIST_HEAD(sites);
static unsigned int nr_sites;
static DEFINE_MUTEX(sites_lock);	/* sites, nr_sites, and every command */
static struct dentry *debug_dir;

/* A site whose probe was never registered, or is unregistered. */
static void site_free(struct widener_site *site)
{
	kfree(site->name);
	kfree(site->symbol);
	kfree(site);
}

static void sites_clear(void)
{
	struct widener_site *site, *next;
	LIST_HEAD(gone);

	lockdep_assert_held(&sites_lock);
	if (list_empty(&sites))
		return;
	list_for_each_entry(site, &sites, list)
		unregister_kprobe(&site->kp);
	list_splice_init(&sites, &gone);
	nr_sites = 0;
	widener_settle(&gone);
	list_for_each_entry_safe(site, next, &gone, list)
		site_free(site);
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
	widener_aim(site);
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
	WRITE_ONCE(widener_seed, value);
	list_for_each_entry(site, &sites, list)
		atomic64_set(&site->drawn, 0);
	return 0;
}

static int command_enable(const char *arg)
{
	bool value;
	int err = kstrtobool(arg, &value);

	if (!err)
		WRITE_ONCE(widener_enabled, value);
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
