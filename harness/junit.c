// SPDX-License-Identifier: ISC
/* JUnit XML: always well-formed and ASCII, whatever the bytes. */
#include "junit.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "escape.h"

static const char *const verdict_tags[] = {
	[JUNIT_FAILED] = "failure",
	[JUNIT_ERROR] = "error",
};

/*
 * XML has no way at all to say most control characters, and other bytes need not be UTF-8: these become
 * \xHH. A line break in an attribute would be read as a blank.
 */
static void put_special(FILE *out, char c)
{
	char hex[4];

	if (c == '<') {
		fputs("&lt;", out);
	} else if (c == '>') { /* "]]>" may not stand in text */
		fputs("&gt;", out);
	} else if (c == '&') {
		fputs("&amp;", out);
	} else if (c == '"') {
		fputs("&quot;", out);
	} else {
		escape_hex(hex, (uint8_t)c);
		fwrite(hex, 1, sizeof(hex), out);
	}
}

static bool is_plain(char c)
{
	return (c >= 0x20 && c < 0x7f && c != '<' && c != '>' && c != '&' && c != '"') ||
	       c == '\n' || c == '\t';
}

static void put_text(FILE *out, const char *text, size_t len)
{
	size_t n;

	for (size_t i = 0; i < len; i += n) {
		for (n = 0; i + n < len && is_plain(text[i + n]);)
			n++;
		fwrite(text + i, 1, n, out);
		if (i + n < len)
			put_special(out, text[i + n++]);
	}
}

static void put_attribute(FILE *out, const char *name, const char *value, size_t len)
{
	fprintf(out, " %s=\"", name);
	put_text(out, value, len);
	fputc('"', out);
}

static void put_time(FILE *out, uint64_t ns)
{
	uint64_t ms = ns / 1000000;

	fprintf(out, " time=\"%llu.%03llu\"", (unsigned long long)(ms / 1000),
		(unsigned long long)(ms % 1000));
}

static void put_case(FILE *out, const struct junit_case *c)
{
	const char *text = c->text ? c->text : "";

	fputs("    <testcase", out);
	put_attribute(out, "classname", c->group, strlen(c->group));
	put_attribute(out, "name", c->name, strlen(c->name));
	put_time(out, c->ns);
	if (c->verdict == JUNIT_PASSED) {
		fputs("/>\n", out);
		return;
	}
	fprintf(out, ">\n      <%s", verdict_tags[c->verdict]);
	put_attribute(out, "message", text, strcspn(text, "\n"));
	fputc('>', out);
	put_text(out, text, strlen(text));
	fprintf(out, "</%s>\n    </testcase>\n", verdict_tags[c->verdict]);
}

int junit_write(FILE *out, const char *suite, const struct junit_case *cases, size_t n)
{
	size_t counts[] = { [JUNIT_PASSED] = 0, [JUNIT_FAILED] = 0, [JUNIT_ERROR] = 0 };
	uint64_t ns = 0;

	for (size_t i = 0; i < n; i++) {
		counts[cases[i].verdict]++;
		ns += cases[i].ns;
	}
	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite", out);
	put_attribute(out, "name", suite, strlen(suite));
	fprintf(out, " tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" skipped=\"0\"", n,
		counts[JUNIT_FAILED], counts[JUNIT_ERROR]);
	put_time(out, ns);
	fputs(">\n", out);
	for (size_t i = 0; i < n; i++)
		put_case(out, &cases[i]);
	fputs("  </testsuite>\n</testsuites>\n", out);
	return ferror(out) ? -EIO : 0;
}
