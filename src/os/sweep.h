/* Crash-only: what an instance leaves that was killed is removed by the next one.
 *
 * Things that outlive a process carry their owner in their name,
 * "gilotine-KIND-PIDNS-PID-START-NUMBER": PIDNS is the inode of the owner's PID namespace (a PID of
 * another container says nothing), START the owner's start in clock ticks since boot (a PID comes
 * again, with its start it does not). */
#pragma once

#include <glib.h>

/* A name that nobody else uses; `kind` is letters only. Free with g_free(). Thread-safe. */
char *gt_sweep_name (const char *kind);

/* Whether `name` is of this form and its owner is certainly gone: of our PID namespace and no such
 * process lives. Pure but for looking the process up. */
gboolean gt_sweep_is_stale (const char *name);

/* A new private folder "DIR/" gt_sweep_name (kind); DIR NULL = the temporary folder. The owner
 * removes it; when it cannot, the next gt_sweep_folder() does. NULL and `error`. Free with
 * g_free(). */
char *gt_sweep_make_dir (const char *dir, const char *kind, GError **error);

/* Removes stale folders, sockets and files of ours in `dir` (NULL = the temporary folder): only
 * entries that belong to this user. Returns how many. */
guint gt_sweep_folder (const char *dir);

/* Kills and removes stale cgroups right below `dir`, and removes those of other PID namespaces that
 * have been empty for some seconds. Returns how many. */
guint gt_sweep_cgroups (const char *dir);

/* Removes a cgroup without members, and those below it, which a family inside may have made. FALSE
 * when it is still there. */
gboolean gt_sweep_remove_cgroup (const char *path);

/* Removes a tree without following links or crossing mounts. */
void gt_sweep_remove_tree (const char *path);
