/* SPDX-License-Identifier: ISC */
/*
 * Diagnostics on stderr, one write(2) a line, each beginning "belljar: ". Never results, never the
 * guest's console. Allocates nothing, so that it works after the sandbox has closed.
 */
#ifndef LOG_H
#define LOG_H

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_LEVEL_COUNT };

/* Lines above this level are dropped. Starts at LOG_WARN; -v and -q move it. Set once, by main. */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);

__attribute__((format(printf, 2, 3))) void log_line(enum log_level level, const char *format, ...);

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

#endif
