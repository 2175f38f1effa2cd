/* Where our own files are: installed, or in the tree they were built in. */
#pragma once

#include <glib.h>

/* A helper program such as "gilotine-init": $GILOTINE_LIBEXECDIR, beside the running program's
 * build tree, or the installed libexec folder. Free with g_free(). */
char *gt_path_program (const char *name, GError **error);

/* The programs PROGRAM-... in the folder of PROGRAM, in the order of their names: the same, built
 * in other ways. Empty when there are none. Free with g_strfreev(). */
char **gt_path_variants (const char *program);

/* A data folder such as "lab": $GILOTINE_DATADIR/NAME, the source tree above the running program,
 * or the installed data folder. Free with g_free(). */
char *gt_path_data (const char *name, GError **error);

/* The per-user cache that tools/build-python fills: $GILOTINE_CACHE, else
 * $XDG_CACHE_HOME/gilotine, else ~/.cache/gilotine. It need not exist. Free with g_free(). */
char *gt_path_cache (void);
