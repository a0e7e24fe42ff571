/* SPDX-License-Identifier: ISC */
/*
 * Between these two AFL++ sees nothing: for what a target makes once and keeps, which is no input's doing and
 * would make it seem that inputs do not do the same each time. Other engines do not notice.
 */
#ifndef QUIET_H
#define QUIET_H

void quiet_begin(void);
void quiet_end(void);

#endif
