/* SPDX-License-Identifier: ISC */
/*
 * The host's files, looked at only: what would make, change or remove something finds out whether it
 * could, and says so. A descriptor that creating returns stands for the directory it would be made in.
 */
#ifndef HOSTFS_DRY_H
#define HOSTFS_DRY_H

struct hostfs;

/*
 * The dry one over hostfs_openat2 or hostfs_walk, for a map that is there already: filemap_init makes
 * directories in scratch. One resolution at a time in a process.
 */
const struct hostfs *hostfs_dry(const struct hostfs *engine);
/* Before another resolution: what the last one would have made is not there for it. */
void hostfs_dry_forget(void);

#endif
